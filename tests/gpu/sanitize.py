"""A few calls that use every kernel, for compute-sanitizer: on small lists, as it slows kernels down."""

import numpy as np

import numclip


def main():
    from numba import cuda

    rng = np.random.default_rng(0)
    for dtype in (np.float16, np.float32, np.float64, np.complex64):
        for clip_norm in (0.5, 1e9):
            sizes = (1, 33, 4097, 20_000)
            grads = [cuda.to_device(rng.standard_normal(size).astype(dtype)) for size in sizes]
            grads += [cuda.to_device(rng.standard_normal((30, 40)).astype(dtype))[::2, ::3]]
            numclip.clip_by_global_norm(grads, clip_norm)
            numclip.clip_by_global_norm(grads, clip_norm, out=grads)
            numclip.clip_factor(grads, clip_norm)
    grads = [cuda.to_device(np.full(10_000, scale)) for scale in (1e200, 1e-200)]
    numclip.clip_by_global_norm(grads, 1e-310, out=grads)
    mixed = [cuda.to_device(rng.standard_normal(20_000).astype(dtype)) for dtype in "fde"]
    limit = cuda.to_device(np.array(0.5))
    numclip.clip_by_global_norm(mixed, limit, out=mixed)
    numclip.clip_by_global_norm(mixed, limit, 2.0, out=mixed)
    for order in (1, 2, 3, np.inf):
        numclip.tensor_norms([*mixed, *grads], ord=order)
    clipper = numclip.Clipper(grads, 1.0)
    clipper()
    norm = clipper()
    print(norm.copy_to_host())


if __name__ == "__main__":
    main()
