import re
from pathlib import Path

import numclip

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_code_runs(capsys):
    """The blocks one after the other, as a reader would paste them."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) >= 3
    exec("\n".join(blocks), {})
    norms = [float(line.split()[1]) for line in capsys.readouterr().out.splitlines()]
    assert len(norms) == 3
    assert min(norms) > 5.0


def test_every_name_in_it_is_public():
    names = set(re.findall(r"numclip\.([a-zA-Z_]+)", README))
    assert names
    assert names <= set(numclip.__all__)


def test_the_two_commands_are_those_of_the_makefile():
    makefile = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test"):
        assert f"make {target}" in README
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
