"""Environment variables that must be set before a framework is imported."""

import os

os.environ |= {
    "JAX_ENABLE_X64": "1",  # else float64 lists become float32
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "OMP_NUM_THREADS": "1",  # torch
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",  # no messages about the processor
    "TF_ENABLE_ONEDNN_OPTS": "0",  # else the order of its sums depends on the processor
}
