"""The README: its code runs, its numbers are those of the tables, and its links exist."""

import pydoc
import re

import numpy as np
from pages import ROOT, run

import numclip

README = (ROOT / "README.md").read_text(encoding="utf-8")


def part(begin, end):
    return README.partition(begin)[2].partition(end)[0]


def test_the_code_runs():
    """The blocks one after the other, as a reader would paste them."""
    names, printed = run(ROOT / "README.md")
    norms = [float(line.split()[1]) for line in printed.splitlines()]
    assert len(norms) == 3
    assert min(norms) > 5.0
    assert all(len(value) == 3 for value in (names["grads"], names["norms"]))


def test_the_calls_to_write_instead_run():
    rows = re.findall(r"^\| .*$", part("## Coming from", "\n## "), re.MULTILINE)[1:]
    calls = [span for row in rows for span in re.findall(r"`(numclip[^`]*\))`", row.split("|")[3])]
    assert len(calls) >= len(rows) >= 5
    for call in calls:
        t = np.array([[3.0, 4.0]])
        eval(call, {"numclip": numclip, "grads": [t], "tree": {"w": t}, "t": t, "c": 1.0})


def test_every_name_in_it_is_public():
    names = set(re.findall(r"(?<!/)numclip(?:\.[a-zA-Z_]+)+", README))
    assert "numclip.tree.clip_by_global_norm" in names
    for name in names:
        assert pydoc.locate(name) is not None, name
        assert "._" not in name


def test_the_commands_are_those_of_the_makefile():
    targets = set(re.findall(r"make ([a-z-]+)", README))
    assert {"demo", "test", "demo-temporal-order"} <= targets
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets <= set(re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE))


def test_it_is_short():
    """Without the table of CUDA devices, which a script writes."""
    assert len(README.replace(part("<!-- cuda:begin -->", "<!-- cuda:end -->"), "").splitlines()) <= 120


def test_its_figures_are_those_of_the_table():
    table = part("<!-- benchmark:begin -->", "<!-- benchmark:end -->")
    cells = {cell.strip() for line in table.splitlines() for cell in line.split("|")}
    [fast] = re.findall(r"^- \*\*Fast\.\*\*.*?(?=\n\n)", README, re.MULTILINE | re.DOTALL)
    figures = re.findall(r"[\d.]+(?: [µm]s|×)", fast)
    assert len(figures) == 6
    assert set(figures) <= cells
    assert all(line.count("|") <= 6 for line in table.splitlines())


def test_its_pictures_are_small():
    for picture in (ROOT / "docs" / "pictures").iterdir():
        assert picture.stat().st_size < 100_000, picture
