"""Each guarantee of the page "Threads, forks, caches" has tests.

Plain Numba has a page too, about the layers that are safe with threads and after forks; it lists uses to
avoid: https://numba.readthedocs.io/en/stable/user/threading-layer.html. There is no failure to reproduce.
"""

import ast
import re
from pathlib import Path

import pytest

import numclip

TESTS = Path(__file__).parents[1]
SHOWN_BY = {
    "Threads of numclip": ["process/test_threads.py"],
    "Threads of the caller": ["process/test_threads.py"],
    "Forks": ["process/test_fork.py"],
    "Interrupts": ["process/test_interrupts.py"],
    "Errors": ["process/test_memory.py", "cpu/test_hostile.py"],
    "Cache": ["process/test_cache.py", "process/test_cache_places.py"],
    "Floating-point environment": ["process/test_float_environment.py"],
    "Refused, clearly": ["project/test_versions.py", "process/test_float_environment.py"],
}


def test_every_paragraph_is_shown():
    page = numclip.__doc__.partition("Threads, forks, caches\n---")[2]
    assert re.findall(r"^\*\*(.+?)\.\*\*", page, re.MULTILINE) == list(SHOWN_BY)


@pytest.mark.parametrize("module", sorted({"project/test_config.py"}.union(*SHOWN_BY.values())))
def test_every_module_says_what_plain_numba_does(module):
    text = ast.get_docstring(ast.parse((TESTS / module).read_text(encoding="utf-8")))
    assert "Numba" in text
    assert re.search(r"https://github\.com/[\w-]+/[\w-]+/(issues|pull)/\d+", text)
