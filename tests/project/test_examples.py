"""What the examples have in common: they check their options."""

import sys

import pytest

from examples import load

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
    assert (
        str(arguments[0] if "output" not in arguments[0] else "no such directory") in capsys.readouterr().err
    )
