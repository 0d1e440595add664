"""Arrays of Numba, CuPy and PyTorch on a real device, made from NumPy's and read back."""

import importlib

import ml_dtypes
import numpy as np

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


class OfNumba:
    def __init__(self):
        self.cuda = importlib.import_module("numba.cuda")

    def to_device(self, array):
        return self.cuda.to_device(array)

    def to_host(self, array):
        return np.asarray(array.copy_to_host())

    def synchronize(self):
        self.cuda.synchronize()


class OfCuPy:
    def __init__(self):
        self.cupy = importlib.import_module("cupy")

    def to_device(self, array):
        return self.cupy.asarray(array)

    def to_host(self, array):
        return self.cupy.asnumpy(array)

    def synchronize(self):
        self.cupy.cuda.get_current_stream().synchronize()


class OfTorch:
    def __init__(self):
        self.torch = importlib.import_module("torch")

    def to_device(self, array):
        if array.dtype == BFLOAT16:
            return self.torch.from_numpy(array.view(np.int16)).cuda().view(self.torch.bfloat16)
        return self.torch.from_numpy(array).cuda()

    def to_host(self, tensor):
        if tensor.dtype == self.torch.bfloat16:
            return tensor.view(self.torch.int16).cpu().numpy().view(BFLOAT16)
        return tensor.cpu().numpy()

    def synchronize(self):
        self.torch.cuda.synchronize()


LIBRARIES = {"numba": OfNumba, "cupy": OfCuPy, "torch": OfTorch}
