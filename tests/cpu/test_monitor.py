"""GradientMonitor: its records, and files that read back the same."""

import csv
import gc
import math
import pickle
import tracemalloc

import numpy as np
import pytest
from arrays import starts_with
from hypothesis import given
from hypothesis import strategies as st

import numclip
from numclip import GradientMonitor, _norms

INF, NAN = math.inf, math.nan
ANY = st.floats(0.0) | st.just(NAN)
STEPS = st.lists(st.tuples(ANY, ANY, st.lists(ANY | st.none(), min_size=3, max_size=3)), max_size=20)


def recorded(steps, **settings):
    monitor = GradientMonitor(**settings)
    for step in steps:
        monitor.record(*step)
    return monitor


def finite(values):
    return [value for value in values if value is not None and math.isfinite(value)]


def same(value, wanted):
    return value == pytest.approx(wanted, rel=1e-15, nan_ok=True)


# --- the figures --------------------------------------------------------------------------------------------


@given(STEPS, st.integers(1, 30))
def test_the_summary_counts_all_steps_and_describes_the_last(steps, history):
    summary = recorded(steps, names=["a", "b", "c"], history=history).summary()
    norms, last = [norm for norm, _, _ in steps], steps[-history:]
    assert summary["steps"] == len(steps)
    assert summary["clipped"] == sum(norm > clip_norm for norm, clip_norm, _ in steps)
    assert summary["nonfinite"] == len(norms) - len(finite(norms))
    assert same(summary["largest"], max(finite(norms), default=NAN))
    assert summary["largest_step"] == (norms.index(max(finite(norms))) + 1 if finite(norms) else 0)
    assert same(summary["median"], median([norm for norm, _, _ in last]))
    for i, name in enumerate("abc"):
        column = [tensor_norms[i] for _, _, tensor_norms in last]
        wanted = {"median": median(column), "largest": max(finite(column), default=NAN)}
        assert same(summary["tensors"][name], wanted)


def median(values):
    return np.quantile(finite(values), 0.5) if finite(values) else NAN


def test_memory_is_bounded():
    monitor = GradientMonitor(history=100)
    tensor_norms = np.ones(50).tolist()
    for _ in range(200):
        monitor.record(1.0, 1.0, tensor_norms)
    gc.collect()
    tracemalloc.start()
    for _ in range(2000):
        monitor.record(1.0, 1.0, tensor_norms)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # 100 rows, which have replaced those from before the measurement.
    assert grown < 100 * (52 * 8 + 200)
    assert monitor.summary()["steps"] == 2200


# --- the names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tensor_norms", "names"),
    [
        ([1.0, None], ["[0]", "[1]"]),
        ({"w": 1.0, "b": np.float32(2.0)}, ["['w']", "['b']"]),
        ({"dense": {"w": 1.0}, "out": [None, 2.0]}, ["['dense']['w']", "['out'][0]", "['out'][1]"]),
        (None, []),
    ],
)
def test_arrays_without_names_are_called_by_their_places(tensor_norms, names):
    monitor = recorded([(1.0, 1.0, tensor_norms)])
    assert monitor.names == names
    assert list(monitor.summary()["tensors"]) == names


def test_a_step_may_go_without_the_norms_of_arrays():
    monitor = recorded([(1.0, 1.0, [2.0]), (1.0, 1.0), (3.0, 1.0, [4.0])], names=["w"])
    assert monitor.summary()["tensors"] == {"w": {"median": 3.0, "largest": 4.0}}


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"history": 0}, ValueError, "history should be at least 1"),
        ({"history": 1.0}, TypeError, "history should be an int"),
        ({"names": "wb"}, TypeError, "names should be a sequence of str"),
        ({"names": ["w", 1]}, TypeError, "names[1] should be a str. Received 1"),
        ({"names": ["w", "w"]}, ValueError, "names[1] is there twice: 'w'"),
        ({"path": "no/such/directory/norms.csv"}, OSError, "[Errno 2]"),
    ],
)
def test_what_is_no_setting_is_refused(settings, error, message):
    with pytest.raises(error, match=starts_with(message)):
        GradientMonitor(**settings)


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (("much", 1.0), TypeError, "norm should be a number. Received 'much'"),
        ((1.0, abs), TypeError, "clip_norm should be a number"),
        ((1.0, 1.0, [1.0]), ValueError, "tensor_norms has 1 norms, but there are 2 names"),
        ((1.0, 1.0, ["w", "b"]), TypeError, "tensor_norms[0] is no array"),
        (
            (1.0, 1.0, [1.0, np.ones(3)]),
            TypeError,
            "norm 1 of tensor_norms should be a number. Received",
        ),
    ],
)
def test_a_step_that_is_refused_is_not_recorded(step, error, message, tmp_path):
    monitor = recorded([(1.0, 1.0, [1.0, 2.0])], path=tmp_path / "norms.csv")
    before = monitor.summary(), (tmp_path / "norms.csv").read_text()
    with pytest.raises(error, match=starts_with(message)):
        monitor.record(*step)
    assert (monitor.summary(), (tmp_path / "norms.csv").read_text()) == before


def test_a_first_step_that_is_refused_names_nothing():
    monitor = GradientMonitor()
    with pytest.raises(TypeError, match="norm 0 of tensor_norms should be a number"):
        monitor.record(1.0, 1.0, {"w": np.ones(3)})
    assert monitor.names is None


def test_norms_that_come_late_are_refused():
    monitor = recorded([(1.0, 1.0)])
    with pytest.raises(ValueError, match="tensor_norms has 1 norms, but there are none at the first step"):
        monitor.record(1.0, 1.0, [1.0])


# --- a Clipper with a monitor -------------------------------------------------------------------------------


def test_a_clipper_records_each_call():
    grads = [np.zeros(2, np.float32), None, np.zeros((1, 1))]
    monitor = GradientMonitor(names=["w", "nothing", "b"])
    clipper = numclip.Clipper(grads, lambda norm: norm / 2, monitor=monitor, loss_scale=2.0)
    plain = numclip.Clipper([np.zeros(2, np.float32), None, np.zeros((1, 1))], 1.0, loss_scale=2.0)
    for clip_norm, use_norm in ((None, None), (1.0, None), (1.0, 20.0)):
        for array in (grads[0], plain.results[0]):
            array[:] = 6.0, 8.0
        for array in (grads[2], plain.results[2]):
            array[:] = 0.5
        norm = clipper(clip_norm, use_norm)
        assert norm == plain(norm / 2 if clip_norm is None else clip_norm, use_norm)
        assert clipper.factor == plain.factor
        assert grads[0].tolist() == plain.results[0].tolist()
        if use_norm is None:
            assert clipper.tensor_norms() == plain.tensor_norms() == [5.0, None, 0.25]
    table = _norms.table(1, monitor._rows, monitor.names)
    norm = math.hypot(5.0, 0.25)
    assert table.norms.tolist() == [norm, norm, 20.0]
    assert table.thresholds.tolist() == [norm / 2, 1.0, 1.0]
    np.testing.assert_array_equal(table.tensor_norms, [[5.0, NAN, 0.25]] * 2 + [[NAN] * 3])


def test_a_clipper_of_a_tree_names_its_arrays():
    monitor = GradientMonitor()
    grads = {"w": np.array([3.0]), "b": [np.array([4.0])]}
    numclip.tree.Clipper(grads, 1.0, monitor=monitor)()
    assert monitor.summary()["tensors"]["['b'][0]"] == {"median": 4.0, "largest": 4.0}


@pytest.mark.parametrize("nonfinite", ["nan", "zero"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_step_with_a_norm_that_is_not_finite_is_recorded(dtype, nonfinite):
    monitor = GradientMonitor()
    array = np.array([1.0, INF], dtype)
    numclip.Clipper([np.ones(1, dtype), array], 1.0, monitor=monitor, nonfinite=nonfinite)()
    assert monitor.summary()["nonfinite"] == 1
    assert monitor.summary()["tensors"]["[0]"]["largest"] == 1.0
    assert math.isnan(monitor.summary()["tensors"]["[1]"]["largest"])


@pytest.mark.parametrize("limit", [1.0, lambda norm: 1.0], ids=["float", "callable"])
def test_a_step_that_is_refused_for_its_norm_is_recorded(limit):
    monitor = GradientMonitor()
    clipper = numclip.Clipper([np.ones(4), np.array([NAN])], limit, monitor=monitor, nonfinite="raise")
    with pytest.raises(FloatingPointError, match=r"t_list\[1\] has 1 NaN"):
        clipper()
    assert monitor.summary()["nonfinite"] == 1
    assert monitor.summary()["tensors"]["[0]"]["largest"] == 2.0


@pytest.mark.parametrize(
    ("monitor", "error", "message"),
    [
        (print, TypeError, "monitor should be a GradientMonitor or None"),
        (GradientMonitor(names=["w"]), ValueError, "monitor has 1 names, but there are 2 arrays"),
    ],
)
def test_a_monitor_that_does_not_fit_is_refused(monitor, error, message):
    with pytest.raises(error, match=starts_with(message)):
        numclip.Clipper([np.ones(1), np.ones(1)], 1.0, monitor=monitor)


# --- files --------------------------------------------------------------------------------------------------

NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=3, max_size=3, unique=True)


@given(STEPS, NAMES)
def test_a_file_reads_back_as_what_was_recorded(tmp_path_factory, steps, names):
    folder = tmp_path_factory.getbasetemp()
    monitor = recorded(steps, path=folder / "each.csv", names=names)
    monitor.to_csv(folder / "all.csv")
    read = _norms.read(folder / "all.csv")
    if steps:
        assert (folder / "each.csv").read_bytes() == (folder / "all.csv").read_bytes()
    assert read.names == names
    assert read.steps.tolist() == list(range(1, len(steps) + 1))
    np.testing.assert_array_equal(read.norms, [norm for norm, _, _ in steps])
    np.testing.assert_array_equal(read.thresholds, [clip_norm for _, clip_norm, _ in steps])
    wanted = [[NAN if norm is None else norm for norm in norms] for _, _, norms in steps]
    np.testing.assert_array_equal(read.tensor_norms, np.reshape(wanted, (-1, 3)))


def test_the_file_has_every_step_and_memory_the_last(tmp_path):
    monitor = recorded([(i, 1.0) for i in range(5)], path=tmp_path / "each.csv", history=2)
    monitor.to_csv(tmp_path / "last.csv")
    assert _norms.read(tmp_path / "each.csv").norms.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    last = _norms.read(tmp_path / "last.csv")
    assert (last.steps.tolist(), last.norms.tolist()) == ([4, 5], [3.0, 4.0])


def test_the_file_is_written_anew_and_complete_after_each_step(tmp_path):
    path = tmp_path / "norms.csv"
    path.write_text("from another run")
    monitor = GradientMonitor(path)
    assert path.read_text() == ""
    for step in (1, 2, 3):
        monitor.record(0.5, 1.0, {"w": 0.5})
        with path.open(newline="") as file:
            assert list(csv.reader(file))[step:] == [[str(step), "0.5", "1.0", "0.5"]]


def test_a_pickled_monitor_goes_on(tmp_path):
    monitor = recorded([(1.0, 2.0, [1.0])], path=tmp_path / "norms.csv")
    loaded = pickle.loads(pickle.dumps(monitor))
    loaded.record(3.0, 2.0, [3.0])
    assert loaded.summary()["clipped"] == 1
    assert _norms.read(tmp_path / "norms.csv").norms.tolist() == [1.0, 3.0]


# --- TensorBoard --------------------------------------------------------------------------------------------


class Writer:
    """A writer with the method of TensorBoard's, add_scalar."""

    def __init__(self):
        self.calls = []

    def add_scalar(self, tag, scalar_value, global_step=None):
        self.calls.append((tag, scalar_value, global_step))


def test_a_writer_of_tensorboard_gets_each_step_once():
    monitor, writer = recorded([(2.0, 1.0, {"w": 2.0})], names=["w"]), Writer()
    monitor.to_tensorboard(writer)
    first = [("gradients/norm", 2.0, 1), ("gradients/clip_norm", 1.0, 1), ("gradients/tensors/w", 2.0, 1)]
    assert writer.calls == first
    monitor.to_tensorboard(writer)
    assert writer.calls == first
    monitor.record(3.0, 1.0, {"w": 3.0})
    monitor.to_tensorboard(writer)
    assert writer.calls[3:] == [(tag, 1.0 if "clip" in tag else 3.0, 2) for tag, _, _ in first]


def test_of_what_is_nan_a_writer_gets_the_norm_alone():
    writer = Writer()
    recorded([(NAN, NAN, [None, INF])], names=["a", "b"]).to_tensorboard(writer)
    assert [tag for tag, _, _ in writer.calls] == ["gradients/norm", "gradients/tensors/b"]


def test_what_is_no_writer_is_refused():
    with pytest.raises(TypeError, match="writer should have add_scalar, as the SummaryWriter"):
        GradientMonitor().to_tensorboard(print)
