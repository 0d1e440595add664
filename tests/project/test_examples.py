"""All examples check their options, and on Ctrl-C end with the results so far."""

import argparse
import os
import re
import sys

import pytest
from processes import PATHS, run_python

from examples import EXAMPLES, assert_picture, load

demo = load("demo")
MODULES = {name: load(name) for name in ("char_rnn", "temporal_order")}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("char_rnn", ("--clip-norm", 0)),
        ("char_rnn", ("--clip-norm", "nan")),
        ("char_rnn", ("--steps", 0)),
        ("char_rnn", ("--learning-rate", -1)),
        ("char_rnn", ("--seed", -1)),
        ("char_rnn", ("--output", "no/such/directory/picture.png")),
        ("char_rnn", ("--output", "picture")),
        ("char_rnn", ("--output", "picture.txt")),
        ("temporal_order", ("--seeds", 0)),
        ("temporal_order", ("--lengths", 25)),
        ("temporal_order", ("--learning-rate", "inf")),
        ("temporal_order", ("--output", "no/such/directory/picture.png")),
    ],
)
def test_options_are_checked_before_training(name, arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        MODULES[name].main()
    assert exit_.value.code == 2
    assert str(arguments[0]) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        ("no/such/directory/picture.png", "no such directory: no/such/directory"),
        ("picture.txt", "picture.txt should end in one of ."),
        ("folder.png", "cannot write to folder.png"),
    ],
)
def test_the_picture_that_cannot_be_written_is_named(output, complaint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{re.escape(complaint)}"):
        demo.picture(output)


INTERRUPTING = """
import signal, sys
sys.argv[0] = "{name}.py"
import {name}
def interrupting(*arguments, **options):
    global calls
    calls += 1
    if calls > {calls}:
        signal.raise_signal(signal.SIGINT)
    return clip(*arguments, **options)
calls, clip = 0, {name}.numclip.clip_by_global_norm
{name}.numclip.clip_by_global_norm = interrupting
{name}.run_main({name}.main)
"""


def interrupted(name, calls, *arguments):
    """Run an example that gets a Ctrl-C after some calls of clip_by_global_norm."""
    code = INTERRUPTING.format(name=name, calls=calls)
    return run_python("-c", code, *arguments, check=False, PYTHONPATH=f"{EXAMPLES}{os.pathsep}{PATHS}")


@pytest.mark.slow
def test_ctrl_c_ends_with_the_steps_that_are_done(tmp_path):
    picture = tmp_path / "picture.png"
    done = interrupted("char_rnn", 3, "--output", picture)
    assert done.returncode == demo.INTERRUPTED
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("numclip: loading Numba")
    assert done.stdout.startswith("3 steps, ")
    assert "What the network writes now" in done.stdout
    assert_picture(picture)


@pytest.mark.slow
def test_ctrl_c_ends_with_the_runs_that_are_done(tmp_path):
    picture = tmp_path / "picture.png"
    done = interrupted("temporal_order", 60, "--lengths", 10, 20, "--steps", 50, "--output", picture)
    assert done.returncode == demo.INTERRUPTED
    assert "Traceback" not in done.stderr
    assert re.search(r"^T = 10 .*[012]/2.* [01]/1", done.stdout, re.MULTILINE)
    assert "T = 20" not in done.stdout
    assert_picture(picture)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_ctrl_c_at_the_first_step_needs_no_traceback(name, tmp_path):
    picture = tmp_path / "picture.png"
    done = interrupted(name, 0, "--steps", 2, "--output", picture)
    assert done.returncode == demo.INTERRUPTED
    assert "Traceback" not in done.stderr
    assert "Interrupted before the first" in done.stdout
    assert not picture.exists()
