"""The place of this process's CUDA arrays, by environment variables, as Numba reads one at its import."""

import os

SIMULATOR = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
PTX = "PTX_CAPABILITY" in os.environ
DEVICE = SIMULATOR or PTX
