"""Clipping in place on a CUDA GPU: time on the device and time of the host apart, beside PyTorch and CuPy.

Device times are those of a CUDA graph that clips several sets of gradients, more than the L2 cache holds,
restored before each round. Host times are those of a call while the device is idle. Run as a script; it needs
PyTorch, and measures CuPy if it is installed. Results are written to a folder after each row, as JSON and as
a Markdown table, which is inserted into the README too. Run again, it measures only missing rows.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from math import prod
from pathlib import Path

import torch
from workloads import WORKLOADS

import numclip

BEGIN, END = "<!-- cuda:begin -->", "<!-- cuda:end -->"
REPEATS, HOST_CALLS = 30, 30
MOST_BYTES = 2 * 2**30  # of gradients, for all sets of a workload together
MOST_ARRAYS = 8000  # likewise: a graph of more is slow to make
PACKAGES = ("numclip", "numba", "numba-cuda", "numpy", "torch", "cupy-cuda12x", "cupy-cuda13x")
SHAPES = {name: [tuple(shape) for shape in workload().values()] for name, workload in WORKLOADS.items()}
SHAPES["one_gigabyte"] = [(4096, 16384)] * 4
# The same as views of one buffer that starts at an odd element, as in the buckets of data parallel training.
SHAPES["resnet50_misaligned"] = SHAPES["resnet50"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/cuda"))
    parser.add_argument("--readme", type=Path, help="Markdown file with the marker lines")
    parser.add_argument("--workloads", nargs="*", default=list(SHAPES), choices=SHAPES)
    parser.add_argument("--seconds", type=float, default=500, help="begin nothing new after that")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    options.out.mkdir(parents=True, exist_ok=True)
    place = options.out / "cuda.json"
    results = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {"rows": []}
    done = {(row["workload"], row["dtype"], row["clipped"]) for row in results["rows"]}
    left = [
        (name, dtype, clipped)
        for name in options.workloads
        for dtype in ("float32", "bfloat16")
        for clipped in (False, True)
        if (name, dtype, clipped) not in done
    ]
    while left and time.monotonic() < end:
        results |= {"machine": machine()}
        results.setdefault("bandwidth", None)
        results["bandwidth"] = results["bandwidth"] or bandwidth()
        row = measure(*left.pop(0))
        results["rows"].append(row)
        place.write_text(json.dumps(results, indent=1), encoding="utf-8")
        print(json.dumps(row), flush=True)
    print(f"{len(left)} rows left" if left else "nothing left")
    if results["rows"]:
        results["rows"].sort(key=lambda row: list(SHAPES).index(row["workload"]))
        text = report(results)
        (options.out / "cuda.md").write_text(text, encoding="utf-8")
        print(text)
        if options.readme:
            insert(text, options.readme)


# --- the machine --------------------------------------------------------------------------------------------


def machine():
    """Describe the machine and the versions."""
    properties = torch.cuda.get_device_properties(0)
    versions = {"Python": platform.python_version(), "CUDA": torch.version.cuda}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    versions.setdefault("numclip", numclip.__version__)
    return {
        "gpu": properties.name,
        "processors": properties.multi_processor_count,
        "l2_bytes": getattr(properties, "L2_cache_size", 0),
        "date": time.strftime("%Y-%m-%d"),
        "versions": versions,
    }


def bandwidth():
    """Return bytes per second of a copy, read and written, and of PyTorch's fastest reduction, read."""
    values = torch.randn(2**28, device="cuda")
    target = torch.empty_like(values)
    size = values.numel() * values.element_size()
    copy = device_time(lambda: target.copy_(values))
    read = min(device_time(values.sum), device_time(lambda: torch.linalg.vector_norm(values)))
    return {"copy": 2 * size / copy, "read": size / read}


def device_time(call, prepare=lambda: None):
    """Return the median device time of a call, in seconds."""
    times = []
    for repeat in range(REPEATS + 3):
        prepare()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        if repeat >= 3:
            times.append(start.elapsed_time(end) / 1e3)
    return statistics.median(times)


# --- one workload -------------------------------------------------------------------------------------------


class Workload:
    """Sets of gradients on the device, as gradients of parameters, and functions that clip each set."""

    def __init__(self, name, dtype, clipped):
        shapes = SHAPES[name]
        size = sum(map(prod, shapes)) * dtype.itemsize
        l2 = getattr(torch.cuda.get_device_properties(0), "L2_cache_size", 64 * 2**20)
        count = max(1, min(MOST_BYTES // size, -(-4 * l2 // size), MOST_ARRAYS // len(shapes), 64))
        torch.manual_seed(0)
        scales = 10 ** (-1 - 3 * torch.rand(len(shapes)))
        first = [
            torch.randn(shape, device="cuda").mul_(scale) for shape, scale in zip(shapes, scales, strict=True)
        ]
        self.original = [grad.to(dtype) for grad in first]
        copy = views_of_a_buffer if name.endswith("misaligned") else copies
        self.sets = [copy(self.original) for _ in range(count)]
        norm = float(numclip.global_norm(self.original))
        self.clip_norm = norm / 3 if clipped else 2 * norm
        self.bytes = size * (3 if clipped else 1)

    def restore(self):
        """Undo the clipping of all sets."""
        for grads in self.sets:
            torch._foreach_copy_(grads, self.original)


def copies(arrays):
    """Return arrays in memory of their own."""
    return [array.clone() for array in arrays]


def views_of_a_buffer(arrays):
    """Return copies one after the other in one buffer, from its second element."""
    buffer = arrays[0].new_empty(1 + sum(array.numel() for array in arrays))
    views, begin = [], 1
    for array in arrays:
        view = buffer[begin : begin + array.numel()].view(array.shape)
        views.append(view.copy_(array))
        begin += array.numel()
    return views


def numclip_once(workload):
    """Return calls of the function, all for one set: a trainer has one, whose table is cached."""
    grads = workload.sets[0]
    return [lambda: numclip.clip_by_global_norm(grads, workload.clip_norm, out=grads)]


def numclip_clipper(workload):
    """Return clippers, one for each set."""
    return [numclip.Clipper(grads, workload.clip_norm) for grads in workload.sets]


def torch_foreach(workload):
    """Return calls of PyTorch's function, one for each set."""
    calls = []
    for grads in workload.sets:
        parameters = [torch.nn.Parameter(torch.empty_like(grad)) for grad in grads]
        for parameter, grad in zip(parameters, grads, strict=True):
            parameter.grad = grad
        calls.append(lambda p=parameters: torch.nn.utils.clip_grad_norm_(p, workload.clip_norm, foreach=True))
    return calls


def cupy_arrays(workload):
    """Return the sets as CuPy's arrays, which share their memory."""
    import cupy

    return cupy, [[cupy.from_dlpack(grad) for grad in grads] for grads in workload.sets]


def cupy_one_by_one(workload):
    """Return the usual loop: a norm for each array, read by the host."""
    cupy, sets = cupy_arrays(workload)

    def clip(grads):
        norm = sum(float(cupy.vdot(grad, grad)) for grad in (grad.ravel() for grad in grads)) ** 0.5
        if norm > workload.clip_norm:
            for grad in grads:
                cupy.multiply(grad, workload.clip_norm / norm, out=grad)

    return [lambda grads=grads: clip(grads) for grads in sets]


def cupy_concatenate(workload):
    """Return the other usual way: all gradients concatenated into one array."""
    cupy, sets = cupy_arrays(workload)

    def clip(grads):
        norm = cupy.linalg.norm(cupy.concatenate([grad.ravel() for grad in grads]))
        factor = cupy.minimum(1.0, workload.clip_norm / norm).astype(grads[0].dtype)
        for grad in grads:
            cupy.multiply(grad, factor, out=grad)

    return [lambda grads=grads: clip(grads) for grads in sets]


PEERS = {
    "numclip": numclip_once,
    "Clipper": numclip_clipper,
    "torch": torch_foreach,
    "cupy, one by one": cupy_one_by_one,
    "cupy, concatenated": cupy_concatenate,
}
IN_GRAPHS = ("Clipper", "torch")
OTHERS = ("torch", "cupy, one by one", "cupy, concatenated")


def measure(name, dtype, clipped):
    """Return the times of all peers on one workload, in seconds for each set."""
    workload = Workload(name, getattr(torch, dtype), clipped)
    row = {
        "workload": name,
        "arrays": len(SHAPES[name]),
        "dtype": dtype,
        "clipped": clipped,
        "sets": len(workload.sets),
        "bytes": workload.bytes,
        "device": {},
        "host": {},
    }
    for peer, make in PEERS.items():
        try:
            calls = make(workload)
            workload.restore()
            for call in calls:  # compiles, and fills the caches of allocators
                call()
            torch.cuda.synchronize()
            row["host"][peer] = host_time(calls, workload)
            if peer != "numclip":  # on the device, it is the same as a clipper
                run = graph_of(calls) if peer in IN_GRAPHS else lambda calls=calls: [call() for call in calls]
                row["device"][peer] = device_time(run, workload.restore) / len(calls)
        except Exception as error:  # the peer fails: CuPy is missing, or has no bfloat16
            print(f"{peer}, {name}, {dtype}: {type(error).__name__}: {error}", file=sys.stderr)
            torch.cuda.synchronize()
    return row


def graph_of(calls):
    """Return a function that replays the calls as a CUDA graph."""
    torch.cuda.synchronize()  # a clipper is used on one stream after the other
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for call in calls:
            call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    return graph.replay


def host_time(calls, workload):
    """Return the median time of a call on the host, without the time that the device still needs."""
    workload.restore()
    times = []
    for i in range(HOST_CALLS):
        torch.cuda.synchronize()
        call = calls[i % len(calls)]
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


# --- the table ----------------------------------------------------------------------------------------------


def report(results):
    """Return the table: times of numclip, and of the others as ratios to them."""
    where, rates = results["machine"], results["bandwidth"]
    versions = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
    head = ["workload", "arrays", "dtype", "clipped", "device, µs", "TB/s", *OTHERS]
    head += ["call, µs", "torch", "Clipper, µs", "torch"]
    lines = [
        f"In place on {where['gpu']}, {where['date']}; copy {rates['copy'] / 1e12:.2f} TB/s, "
        f"read {rates['read'] / 1e12:.2f} TB/s; {versions}.",
        "",
        f"| {' | '.join(head)} |",
        f"|---|---:|---|---|{'---:|' * (len(head) - 4)}",
    ]
    for row in results["rows"]:
        device, host = row["device"], row["host"]
        own = device.get("Clipper")
        cells = [row["workload"], row["arrays"], row["dtype"], "yes" if row["clipped"] else "no"]
        cells += [f"{own * 1e6:.1f}" if own else "", f"{row['bytes'] / own / 1e12:.2f}" if own else ""]
        cells += [ratio(device, other, "Clipper") for other in OTHERS]
        for peer in ("numclip", "Clipper"):
            cells += [f"{host[peer] * 1e6:.0f}" if peer in host else "", ratio(host, "torch", peer)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def insert(text, readme):
    """Replace the text between the marker lines by the table."""
    before, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(
            f"{readme}: no place for the table, it needs a line {BEGIN} and below it a line {END}"
        )
    readme.write_text(f"{before}{begin}\n\n{text}\n{end}{after}", encoding="utf-8")


def ratio(times, other, own):
    """Return the time of a peer as a ratio; an empty text if one of the two was not measured."""
    return f"{times[other] / times[own]:.2f}×" if other in times and own in times else ""


if __name__ == "__main__":
    main()
