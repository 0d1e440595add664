"""Random lists on which all frameworks follow the same contract; each gets the same lists."""

import numpy as np
from arrays import DTYPES
from oracle import base_array, exact_norm

from numclip import IndexedSlices

# The shapes of a small network; few, as JAX compiles for each shape and dtype.
SHAPES = ((), (1,), (0, 3), (7,), (3, 5), (2, 3, 4), (33,), (257,), (40, 25), (4097,), (65, 100))

# Decimal exponents of the elements, whose squares have to fit: TensorFlow and optax form them in the dtype.
EXPONENTS = {"float16": (-1, 0), "bfloat16": (-12, 12), "float32": (-12, 12), "float64": (-100, 100)}
EXPONENTS |= {"complex64": EXPONENTS["float32"], "complex128": EXPONENTS["float64"], "mixed": (-1, 0)}


def random_array(rng, dtype, exponent):
    """Magnitudes of one decade, so that no square underflows alone, of either sign, with a few zeros."""
    shape = SHAPES[rng.integers(len(SHAPES))]
    size = int(np.prod(shape)) * (2 if dtype.kind == "c" else 1)
    reals = rng.choice([-1, 0, 1], size, p=[0.49, 0.02, 0.49]) * rng.uniform(0.1, 1, size) * 10.0**exponent
    return (reals.view(np.complex128) if dtype.kind == "c" else reals).astype(dtype).reshape(shape)


def random_entry(rng, dtype, exponent):
    array, roll = random_array(rng, dtype, exponent), rng.random()
    if roll < 0.15:
        return None
    if roll < 0.3 and array.ndim:
        rows = len(array) + 5
        return IndexedSlices(array, rng.integers(0, rows, len(array)), (rows, *array.shape[1:]))
    return array


def random_type(rng, number):
    """The number as one of the types in which a threshold or a norm may come."""
    kinds = [np.float64, lambda x: np.array(x, np.float64)]
    if 1e-30 < number < 1e30:
        kinds.append(np.float32)
    return kinds[rng.integers(len(kinds))](number)


def random_case(seed, kind):
    """Return (t_list, clip_norm, use_norm), with up to six entries of the dtype `kind`, or "mixed"."""
    rng = np.random.default_rng([seed, list(EXPONENTS).index(kind)])
    dtypes = [dtype for dtype in DTYPES if kind in (dtype.name, "mixed")]
    exponent = rng.integers(*EXPONENTS[kind], endpoint=True)
    t_list = [random_entry(rng, dtypes[rng.integers(len(dtypes))], exponent) for _ in range(rng.integers(7))]

    has_elements = any(base_array(entry).any() for entry in t_list if entry is not None)
    norm = float(exact_norm(t_list)) if has_elements else 1.0
    near = norm * float(rng.choice([0.01, 0.3, 0.9, 1 - 1e-7, 1, 1 + 1e-7, 1.1, 20]))
    clip_norm = near if rng.random() < 0.5 else random_type(rng, near)
    if has_elements and rng.random() < 0.05:
        clip_norm = 0
    use_norm = None
    if rng.random() < 0.25:
        use_norm = norm * rng.uniform(0.1, 10)
        # TensorFlow computes the factor in the dtype of the norm.
        use_norm = np.float64(use_norm) if kind == "float64" else random_type(rng, use_norm)
    return t_list, clip_norm, use_norm
