"""Markdown pages: their headings and links, and their code, which is run as a reader would run it.

The ``python`` blocks of a page run one after the other in one namespace. A block after the comment
``<!-- program -->`` runs by itself, as a file; the comment may say what that needs, as in
``<!-- program, 2 ranks, needs torch, needs a GPU -->``. Code prints what the ``output`` block after it shows.
"""

import re
import shutil
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")]

_FENCE = re.compile(
    r"(?:^<!-- (?P<marks>program[^>]*) -->\n+)?"
    r"^```python\n(?P<code>.*?)^```\n"
    r"(?:\n*^```output\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    page: Path
    line: int  # of its first line of code
    code: str
    output: str | None
    marks: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"

    @property
    def is_program(self) -> bool:
        return bool(self.marks)

    @property
    def ranks(self) -> int | None:
        found = [mark.partition(" ")[0] for mark in self.marks if mark.endswith(" ranks")]
        return int(found[0]) if found else None

    def missing(self) -> list[str]:
        """Return the requirements of the block that this machine does not meet."""
        needs = [mark.removeprefix("needs ") for mark in self.marks if mark.startswith("needs ")]
        return [name for name in needs if not (_has_gpu() if name == "a GPU" else find_spec(name))]

    def assert_prints(self, printed: str) -> None:
        if self.output is not None:
            assert printed == self.output, f"{self} prints\n{printed}"


def _has_gpu() -> bool:
    return shutil.which("nvidia-smi") is not None


def blocks(page: Path) -> list[Block]:
    """Return the blocks of Python of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, found.start("code")) + 1,
            found["code"],
            found["output"],
            tuple(mark.strip() for mark in (found["marks"] or "").split(",") if mark),
        )
        for found in _FENCE.finditer(text)
    ]


def run(page: Path) -> tuple[dict[str, object], str]:
    """Run the blocks of a page that are no programs; return their names, and all that they print."""
    names: dict[str, object] = {"__name__": page.stem}
    printed = []
    for block in blocks(page):
        if not block.is_program:
            with redirect_stdout(StringIO()) as output:
                # Lines of a traceback are those of the page.
                exec(compile("\n" * (block.line - 1) + block.code, block.page, "exec"), names)
            printed.append(output.getvalue())
            block.assert_prints(printed[-1])
    return names, "".join(printed)


def _without_code(page: Path) -> str:
    return re.sub(r"^(`{3,}).*?^\1$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[str]:
    """Return the targets of the links and pictures of a page."""
    return re.findall(r"\]\(([^)\s]+)\)", _without_code(page))


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub and MyST name them."""
    headings = re.findall(r"^#{1,3} (.+)$", _without_code(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
