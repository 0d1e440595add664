"""The pictures of a GradientMonitor, and ``python -m numclip plot``."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import run_python

from numclip import GradientMonitor

pytest.importorskip("matplotlib")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
ANY = st.floats(0.0) | st.just(math.nan)


def recorded(steps=50, tensors=2):
    rng = np.random.default_rng(0)
    monitor = GradientMonitor(names=[f"layer {i}" for i in range(tensors)])
    for _ in range(steps):
        norms = rng.lognormal(size=tensors)
        monitor.record(np.linalg.norm(norms), 1.5, norms.tolist())
    return monitor


def test_a_picture_has_norms_share_and_arrays(tmp_path):
    figure = recorded().plot(tmp_path / "norms.png")
    assert (tmp_path / "norms.png").read_bytes().startswith(PNG_SIGNATURE)
    norms, share, arrays, _ = figure.axes
    clipped = recorded().summary()["clipped"] / 50
    assert norms.get_yscale() == "log"
    assert f"{clipped:.0%} of 50 steps clipped" in norms.get_title()
    assert {text.get_text() for text in norms.get_legend().get_texts()} == {
        "clipped",
        "not clipped",
        "threshold",
    }
    assert share.lines[0].get_ydata().mean() == pytest.approx(clipped)
    assert [text.get_text() for text in arrays.get_yticklabels()] == ["layer 0", "layer 1"]


def test_without_norms_of_arrays_there_is_no_heat_map():
    figure = recorded(tensors=0).plot()
    assert len(figure.axes) == 2


def test_of_many_steps_the_largest_norms_are_shown():
    monitor = GradientMonitor()
    for step in range(5000):
        monitor.record(1.0, 2.0, [100.0 if step == 1234 else 1.0, 1.0])
    *_, arrays, _ = monitor.plot().axes
    shown = arrays.collections[0].get_array()
    assert shown.shape[1] <= 400
    assert (shown == 100.0).sum() == 1
    assert "the largest of 13 steps" in arrays.get_title()


def test_a_heat_map_of_nothing_is_left_out():
    monitor = GradientMonitor()
    for step in range(802):
        monitor.record(1.0, 2.0, [math.nan if step % 2 else 1.0])
    assert len(monitor.plot().axes) == 2


@pytest.mark.slow
@settings(max_examples=10)
@given(st.lists(st.tuples(ANY, ANY, st.lists(ANY | st.none(), min_size=2, max_size=2)), min_size=1))
def test_whatever_was_recorded_can_be_drawn(tmp_path_factory, steps):
    monitor = GradientMonitor(names=["$a^{$", "\\frac"])
    for step in steps:
        monitor.record(*step)
    path = tmp_path_factory.getbasetemp() / "norms.png"
    monitor.plot(path)
    assert path.read_bytes().startswith(PNG_SIGNATURE)


@pytest.mark.parametrize("norm", [5e-324, 2.0**-1022, 1.7e308])
def test_norms_at_the_ends_of_the_range_can_be_drawn(norm):
    monitor = GradientMonitor()
    monitor.record(norm, norm, [norm])
    monitor.plot().canvas.draw()


def test_of_no_step_there_is_no_picture():
    with pytest.raises(ValueError, match="there is nothing to draw: no step has been recorded"):
        GradientMonitor().plot()


def test_without_matplotlib_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(RuntimeError, match=r'pictures need matplotlib: pip install "matplotlib>=3\.9"'):
        recorded().plot()


def test_the_command_draws_a_file(tmp_path):
    recorded().to_csv(tmp_path / "norms.csv")
    run = run_python("-m", "numclip", "plot", tmp_path / "norms.csv")
    assert run.stdout == f"{tmp_path / 'norms.png'} shows 50 steps\n"
    assert (tmp_path / "norms.png").read_bytes().startswith(PNG_SIGNATURE)
    run_python("-m", "numclip", "plot", tmp_path / "norms.csv", tmp_path / "other.svg")
    assert "<svg" in (tmp_path / "other.svg").read_text("utf-8")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"", "is no CSV file of norms"),
        (b"\xff\xfe\x00", "is no CSV file of norms"),
        (b"step,loss\n1,2\n", "it begins with ['step', 'loss']"),
        (b"step,norm,clip_norm\n1,2.0\n", "has 2 cells in row 2, expected 3"),
        (b"step,norm,clip_norm\n1,2.0,much\n", "has a cell that is no number"),
        (b"step,norm,clip_norm\n", "there is nothing to draw"),
    ],
)
def test_a_file_that_cannot_be_drawn_is_named(tmp_path, content, message):
    path = tmp_path / "input.csv"
    if content is not None:
        path.write_bytes(content)
    run = run_python("-m", "numclip", "plot", path, check=False)
    assert run.returncode == 2
    assert message in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert not (tmp_path / "input.png").exists()
