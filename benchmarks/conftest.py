"""The saved data of a benchmark run: percentiles instead of every round; processor, versions and threads."""

import platform
from importlib.metadata import PackageNotFoundError, version

import numba
import numpy as np
from threadpoolctl import threadpool_info

PACKAGES = ("numclip", "numba", "numpy", "tbb", "torch", "tensorflow-cpu", "jax", "optax")


def pytest_benchmark_update_machine_info(config, machine_info):
    cpu = machine_info["cpu"]
    facts = {
        "cpu": cpu.get("brand_raw", platform.machine()),
        "cores": cpu["count"],
        "system": platform.system(),
        "versions": {"Python": platform.python_version()} | _versions(),
        "threads": {
            "blas": max(
                (pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1
            ),
            "numba": numba.config.NUMBA_NUM_THREADS,
        },
    }
    # The results are published: data unrelated to speed, such as the name of the machine, is removed.
    machine_info.clear()
    machine_info.update(facts)


def pytest_benchmark_update_json(config, benchmarks, output_json):
    for benchmark in output_json["benchmarks"]:
        del benchmark["options"]
        stats = benchmark["stats"]
        stats["p10"], stats["p90"] = np.percentile(stats.pop("data"), (10, 90)).tolist()


def _versions():
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
