"""Sparse arrays and matrices of SciPy: the norm of the stored elements, the same class back."""

import numpy as np
import pytest
import scipy.sparse.linalg
from arrays import assert_same_bits, assert_same_norm, both_functions, raises_unwritten, starts_with
from oracle import ordered_clip

from numclip import clip_by_global_norm, global_norm

FORMATS = ["csr", "csc", "coo", "bsr", "dia"]
CLASSES = [getattr(scipy.sparse, f"{format}_{kind}") for format in FORMATS for kind in ("array", "matrix")]
DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
STRUCTURE = ["indptr", "indices", "coords", "offsets"]

each_class = pytest.mark.parametrize("sparse", CLASSES, ids=lambda sparse: sparse.__name__)


def random_matrix(rng, sparse, dtype=np.float32, shape=(6, 4)):
    dense = rng.standard_normal(shape) * (rng.random(shape) < 0.4)
    return sparse((dense * (1 + 2j)).astype(dtype) if np.dtype(dtype).kind == "c" else dense.astype(dtype))


def structure(matrix):
    return [np.copy(getattr(matrix, name)) for name in STRUCTURE if hasattr(matrix, name)]


def assert_same_structure(actual, expected):
    assert type(actual) is type(expected)
    assert actual.shape == expected.shape
    for one, other in zip(structure(actual), structure(expected), strict=True):
        np.testing.assert_array_equal(one, other)


@each_class
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("clip_norm", [0.7, 1e6], ids=["clipped", "kept"])
def test_every_class_comes_back(rng, sparse, dtype, clip_norm):
    matrix, other = random_matrix(rng, sparse, dtype), np.ones(3, np.float32)
    before = matrix.copy()
    (expected, _), norm = ordered_clip([matrix.data, other], clip_norm)
    (clipped, _), actual = clip_by_global_norm([matrix, other], clip_norm)
    assert_same_norm(actual, norm)
    assert_same_norm(global_norm([matrix, other]), norm)
    assert_same_structure(clipped, matrix)
    assert_same_bits(clipped.data, expected)
    assert_same_structure(matrix, before)
    assert_same_bits(matrix.data, before.data)


@each_class
def test_a_result_shares_no_memory_with_its_input(rng, sparse):
    """The structure is copied too: SciPy's methods change it in place."""
    matrix = random_matrix(rng, sparse)
    [clipped], _ = clip_by_global_norm([matrix], 0.0)
    dense = matrix.toarray()
    if hasattr(clipped, "eliminate_zeros"):
        clipped.eliminate_zeros()
    clipped.data[...] = 7
    np.testing.assert_array_equal(matrix.toarray(), dense)


@each_class
def test_in_place_the_data_are_written(rng, sparse):
    matrix = random_matrix(rng, sparse)
    data = matrix.data
    [expected], _ = ordered_clip([data], 0.7)
    clipped, _ = clip_by_global_norm([matrix], 0.7, out=[matrix])
    assert clipped[0] is matrix
    assert matrix.data is data
    assert_same_bits(data, expected)


@each_class
def test_out_receives_the_data(rng, sparse):
    matrix = random_matrix(rng, sparse)
    target = matrix.copy()
    target.data[...] = 7
    [expected], _ = ordered_clip([matrix.data], 0.7)
    clipped, _ = clip_by_global_norm([matrix], 0.7, out=[target])
    assert clipped[0] is target
    assert_same_structure(target, matrix)
    assert_same_bits(target.data, expected)


@each_class
def test_matrices_without_an_element(sparse):
    [clipped], norm = clip_by_global_norm([sparse((3, 4), dtype=np.float32)], 1.0)
    assert_same_norm(norm, np.float32(0))
    assert type(clipped) is sparse
    assert clipped.shape == (3, 4)


def test_one_dimensional_arrays():
    array = scipy.sparse.coo_array(np.array([3.0, 0.0, 4.0]))
    [clipped], norm = clip_by_global_norm([array], 2.5)
    assert norm == 5
    np.testing.assert_array_equal(clipped.toarray(), [1.5, 0, 2])


def test_repeated_places_are_not_added_up():
    matrix = scipy.sparse.coo_array((np.array([3.0, 4.0]), ([1, 1], [2, 2])), shape=(3, 3))
    [clipped], norm = clip_by_global_norm([matrix], 2.5)
    assert norm == 5
    assert_same_bits(clipped.data, np.array([1.5, 2.0]))


@pytest.mark.parametrize("sparse", [scipy.sparse.csr_array, scipy.sparse.csc_array])
def test_room_behind_the_last_element_is_not_counted(sparse):
    matrix = sparse(np.diag([3.0, 4.0]))
    matrix.data = np.append(matrix.data, [np.nan, 100.0])
    matrix.indices = np.append(matrix.indices, [0, 0]).astype(matrix.indices.dtype)
    [clipped], norm = clip_by_global_norm([matrix], 2.5)
    assert norm == 5
    np.testing.assert_array_equal(clipped.toarray(), np.diag([1.5, 2.0]))
    clip_by_global_norm([matrix], 2.5, out=[matrix])
    np.testing.assert_array_equal(matrix.data, [1.5, 2.0, np.nan, 100.0])


def test_diagonals_are_counted_as_stored():
    """Stored elements outside of the matrix count too, as in SciPy's own norm."""
    matrix = scipy.sparse.dia_array((np.array([[3.0, 4.0]]), [1]), shape=(2, 2))
    assert global_norm([matrix]) == scipy.sparse.linalg.norm(matrix) == 5


# --- what is refused ----------------------------------------------------------------------------------------


@both_functions
@pytest.mark.parametrize("format", ["lil", "dok"])
@pytest.mark.parametrize("kind", ["array", "matrix"])
def test_other_formats_are_refused(function, format, kind):
    matrix = getattr(scipy.sparse, f"{format}_{kind}")(np.eye(3))
    message = f"t_list[1] is a {format}_{kind}, expected CSR, CSC, COO, BSR or DIA"
    with pytest.raises(TypeError, match=starts_with(message)):
        function([None, matrix])


@both_functions
@each_class
def test_integers_are_refused(function, sparse):
    matrix = sparse(np.eye(3, dtype=np.int32))
    with pytest.raises(TypeError, match=starts_with("t_list[0].data has dtype int32, expected a floating")):
        function([matrix])


CSR = scipy.sparse.csr_array(np.diag([3.0, 4.0, 0.0]))
BAD_TARGETS = {
    "array": (np.eye(3), TypeError, "out[1] should be a csr_array, as t_list[1] is"),
    "class": (CSR.tocsc(), TypeError, "out[1] should be a csr_array, as t_list[1] is"),
    "matrix": (scipy.sparse.csr_matrix(CSR), TypeError, "out[1] should be a csr_array, as t_list[1] is"),
    "None": (None, TypeError, "out[1] should be a csr_array, as t_list[1] is"),
    "shape": (
        scipy.sparse.csr_array(np.diag([3.0, 4.0])),
        ValueError,
        "out[1] has shape (2, 2), t_list[1] has shape (3, 3)",
    ),
    "structure": (
        scipy.sparse.csr_array(np.diag([3.0, 4.0, 0.0])[:, ::-1]),
        ValueError,
        "out[1].indices differs from t_list[1].indices",
    ),
    "more elements": (
        scipy.sparse.csr_array(np.diag([3.0, 4.0, 5.0])),
        ValueError,
        "out[1].indptr differs from t_list[1].indptr",
    ),
    "dtype": (
        CSR.astype(np.float32),
        TypeError,
        "out[1].data has dtype float32, t_list[1].data has dtype float64",
    ),
}


@pytest.mark.parametrize("case", BAD_TARGETS)
def test_a_target_that_does_not_fit_is_refused(case):
    target, exception, message = BAD_TARGETS[case]
    first = np.ones(3)
    with raises_unwritten(exception, message, first, CSR.data):
        clip_by_global_norm([first, CSR], 1.0, out=[first, target])


def test_a_read_only_target_is_refused():
    target = CSR.copy()
    target.data.flags.writeable = False
    with raises_unwritten(ValueError, "out[0].data is read-only", target.data):
        clip_by_global_norm([CSR], 1.0, out=[target])


def test_data_that_overlap_in_place_are_refused():
    whole = np.arange(1.0, 6.0)
    first, second = CSR.copy(), CSR.copy()
    first.data, second.data = whole[:2], whole[1:3]
    with raises_unwritten(ValueError, "out[0] and out[1] overlap in memory", whole):
        clip_by_global_norm([first, second], 1.0, out=[first, second])
