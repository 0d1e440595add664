"""The pages: their code runs and prints what they show, links lead somewhere, no public name is missing."""

import inspect
import re
from urllib.parse import urlsplit

import pytest
from pages import PAGES, ROOT, anchors, blocks, links, run
from processes import run_python

import numclip
import numclip.mpi

DOCS = ROOT / "docs"
PROGRAMS = [block for page in PAGES for block in blocks(page) if block.is_program]
WITH_CODE = [page for page in PAGES if any(not block.is_program for block in blocks(page))]


def name(page):
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", WITH_CODE, ids=name)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names, _ = run(page)
    assert "numclip" in names


@pytest.mark.slow
@pytest.mark.parametrize("block", PROGRAMS, ids=str)
def test_a_program_of_a_page_runs(block, tmp_path):
    if block.missing():
        pytest.skip(f"needs {' and '.join(block.missing())}")
    program = tmp_path / "program.py"
    program.write_text(block.code, encoding="utf-8")
    if block.ranks:
        from ranks import run_ranks

        printed = run_ranks(block.ranks, program)
    else:
        done = run_python("-W", "error::RuntimeWarning", program, check=False)
        assert done.returncode == 0, done.stderr
        printed = done.stdout
    block.assert_prints(printed)


def test_every_block_of_python_is_found():
    fences = sum(page.read_text(encoding="utf-8").count("```python\n") for page in PAGES)
    assert sum(len(blocks(page)) for page in PAGES) == fences >= 20


def test_links_lead_somewhere():
    for page in PAGES:
        for link in links(page):
            parts = urlsplit(link)
            if parts.scheme:
                assert parts.scheme == "https", (page, link)
                assert re.fullmatch(r"(?:[a-z0-9-]+\.)+[a-z]+", parts.netloc), (page, link)
                continue
            target = page.parent / parts.path if parts.path else page
            assert target.exists(), (page, link)
            assert not parts.fragment or parts.fragment in anchors(target), (page, link)


def test_the_files_that_the_pages_name_are_there():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for path in re.findall(r"`((?:tests|benchmarks|examples|docs|numclip)/[\w/]+\.\w+)`", text):
            assert (ROOT / path).exists(), (page, path)


def public_names():
    """Yield the public functions and classes by the name under which they are imported."""
    for module in (numclip, numclip.tree, numclip.mpi):
        listed = getattr(module, "__all__", None)
        for name, value in vars(module).items():
            is_own = name in listed if listed else inspect.getmodule(value) is module
            if is_own and not name.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value)):
                yield f"{module.__name__}.{name}"


def documented_names():
    for page in (DOCS / "api").glob("*.md"):
        module, text = "numclip", page.read_text(encoding="utf-8")
        for kind, name in re.findall(r"^\.\. (\w+):: ([\w.]+)", text, re.MULTILINE):
            if kind in ("currentmodule", "automodule"):
                module = name
            else:
                yield f"{module}.{name}"


def test_the_pages_of_the_api_have_every_public_name():
    documented = [*documented_names()]
    assert sorted(documented) == sorted(public_names())
    assert documented_first() == "numclip.clip_by_global_norm"


def documented_first():
    """Return the first name on the first page that the index of the API leads to."""
    first_page = re.search(r"\n\n(\w+)\n", (DOCS / "api" / "index.md").read_text(encoding="utf-8"))[1]
    text = (DOCS / "api" / f"{first_page}.md").read_text(encoding="utf-8")
    return f"numclip.{re.search('autofunction:: (.*)', text)[1]}"


def test_the_gallery_has_every_example():
    gallery = (DOCS / "examples.md").read_text(encoding="utf-8")
    for example in (ROOT / "examples").glob("*.py"):
        if example.stem != "demo":
            assert f"examples/{example.name}" in gallery


def test_every_page_is_in_the_contents():
    """Each page of the site is reached by links, not by its address alone."""
    listed = set()
    for page in DOCS.glob("**/*.md"):
        for entries in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            lines = [line for line in entries.splitlines() if line and not line.startswith(":")]
            listed |= {(page.parent / f"{line}.md").resolve() for line in lines}
    assert listed == {page.resolve() for page in DOCS.glob("**/*.md")} - {(DOCS / "index.md").resolve()}


def within_two_clicks():
    """Return the pages that a reader of the README reaches by one link or two."""
    first = linked_pages(ROOT / "README.md")
    return first.union(*map(linked_pages, first))


def linked_pages(page):
    paths = {urlsplit(link).path for link in links(page) if not urlsplit(link).scheme}
    return {(page.parent / path).resolve() for path in paths if path.endswith(".md")}


def test_five_tasks_of_a_new_reader_are_within_two_clicks():
    assert "pip install" in (ROOT / "README.md").read_text(encoding="utf-8")
    found = within_two_clicks()
    assert DOCS / "start.md" in found
    assert "clip-a-dict" in anchors(DOCS / "start.md")
    for recipe in ("mixed_precision", "which_layer", "processes", "mpi"):
        assert DOCS / "recipes" / f"{recipe}.md" in found
