"""Where the CUDA arrays of this process lie: its environment says so, as Numba asks for it at its import."""

import os

SIMULATOR = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
PTX = "PTX_CAPABILITY" in os.environ
DEVICE = SIMULATOR or PTX
