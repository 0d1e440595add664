"""Another element type is a row of the table and its conversions: no other file has to be changed.

The example is float8_e5m2: the upper half of a float16, in a carrier of 8 bits, which no element type has
yet.
"""

from caching import copy_of_package
from processes import SUPPORT, run_python

ROW = """
    ElementType("float8_e5m2", 5, 1, 1, "uint8", "ml_dtypes"),
)
BY_NAME = """

CONVERSIONS = '''

def _float8_to_double(context: Any, builder: Any, bits: Any) -> Any:
    half = vector_of(ir.IntType(16), bits)
    return _half_to_double(context, builder, builder.shl(builder.zext(bits, half), splat(half, 8)))


def _double_to_float8(context: Any, builder: Any, value: Any) -> Any:
    """Round the magnitude to three bits, or to the grid of the subnormals; as a half it is exact then."""
    sign = builder.and_(builder.bitcast(value, I64), splat(I64, -(1 << 63)))
    bits = builder.xor(builder.bitcast(value, I64), sign)
    even = builder.and_(builder.lshr(bits, splat(I64, 50)), splat(I64, 1))
    nearest = builder.add(builder.add(bits, splat(I64, (1 << 49) - 1)), even)
    normal = builder.bitcast(builder.and_(nearest, splat(I64, -(1 << 50))), F64)
    grid = splat(F64, 1.5 * 2.0**36)
    magnitude = builder.bitcast(bits, F64)
    subnormal = builder.fsub(builder.fadd(magnitude, grid), grid)
    tiny = builder.fcmp_ordered("<", magnitude, splat(F64, 2.0**-14))
    rounded = builder.bitcast(builder.select(tiny, subnormal, normal), I64)
    half = double_to_half(context, builder, builder.bitcast(builder.or_(rounded, sign), F64))
    return builder.trunc(builder.lshr(half, splat(half.type, 8)), vector_of(ir.IntType(8), half))


WIDEN["uint8"] = _float8_to_double
NARROW["uint8"] = _double_to_float8
'''

CLIP = """
from fractions import Fraction
import ml_dtypes
import numpy as np
from arrays import LAYOUTS, assert_same_bits
from oracle import as_reals, ordered_norm, rounded
import numclip

dtype = np.dtype(ml_dtypes.float8_e5m2)
every = np.arange(256, dtype=np.uint8).view(dtype)
finite = every[np.isfinite(as_reals(every))]
assert numclip.global_norm([finite]) == ordered_norm([finite])

def expected(array, factor):
    reals = as_reals(array)
    exact = [rounded(Fraction(real * factor), dtype) for real in reals.tolist()]
    return np.copysign(exact, reals).astype(dtype).reshape(array.shape)

for factor in (0.5, 1 / 3, 0.7, 1e-3, 2.0**-20):
    wanted = expected(finite, factor)
    [clipped], _ = numclip.clip_by_global_norm([finite], factor, 1.0)
    assert_same_bits(clipped, wanted)
    own = finite.copy()
    numclip.clip_by_global_norm([own], factor, 1.0, out=[own])
    assert_same_bits(own, wanted)
[spoiled], _ = numclip.clip_by_global_norm([every], 1.0, 2.0)
assert (np.isnan(as_reals(spoiled)) == np.isnan(as_reals(every))).all()

matrix = np.resize(finite, (70, 65))
for layout in LAYOUTS:
    if "swapped" in layout.__name__:
        continue
    array = layout(matrix)
    norm = ordered_norm([array])
    [clipped], actual = numclip.clip_by_global_norm([array], 1000.0)
    assert actual == norm
    assert_same_bits(clipped, expected(array, numclip.clip_factor([array], 1000.0)[0]))

mixed = [matrix, np.ones(5000, np.float32), None]
assert numclip.global_norm(mixed) == ordered_norm(mixed)
clipped, _ = numclip.clip_by_global_norm(mixed, 0.3, 1.0)
assert_same_bits(clipped[0], expected(matrix, 0.3))
print("done")
"""


def edited(path, text, replacement):
    """Replace a text that occurs once in a file of the package."""
    before, between, after = path.read_text(encoding="utf-8").partition(text)
    assert between
    assert text not in after
    path.write_text(before + replacement + after, encoding="utf-8")


def test_a_new_type_takes_a_row_and_its_conversions(tmp_path):
    core = copy_of_package(tmp_path) / "_core"
    edited(core / "dtypes.py", ROW[ROW.index("\n)") :], ROW)
    half = core / "half.py"
    half.write_text(half.read_text(encoding="utf-8") + CONVERSIONS, encoding="utf-8")
    paths = f"{tmp_path}:{SUPPORT}"
    run = run_python("-P", "-c", CLIP, PYTHONPATH=paths, NUMBA_CACHE_DIR=str(tmp_path / "cache"), check=False)
    assert run.stdout == "done\n", run.stderr
