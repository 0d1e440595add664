"""Type checkers find each planted mistake, line by line, and nothing in correct uses."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import numclip

FILES = Path(__file__).parent.parent / "support" / "typing"
ROOT = Path(numclip.__file__).parent.parent


def mypy(path, cache):
    command = ["mypy", "--strict", "--config-file=", f"--cache-dir={cache}", "--no-error-summary"]
    completed = run([*command, "--follow-imports=silent", str(path)])
    assert completed.returncode in (0, 1), completed.stdout + completed.stderr
    return {int(line) for line in re.findall(rf"{path.name}:(\d+): error", completed.stdout)}


def pyright(path, cache):
    completed = run(["pyright", "--outputjson", "--pythonpath", sys.executable, str(path)])
    if not completed.stdout.startswith("{"):
        pytest.skip(f"pyright cannot run here: {completed.stdout[-200:]}{completed.stderr[-200:]}")
    found = json.loads(completed.stdout)["generalDiagnostics"]
    return {item["range"]["start"]["line"] + 1 for item in found if item["severity"] == "error"}


def run(command):
    command = [sys.executable, "-m", *command]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=500, check=False)


@pytest.fixture(params=[mypy, pyright], ids=lambda checker: checker.__name__)
def checker(request):
    if importlib.util.find_spec(request.param.__name__) is None:
        pytest.skip(f"{request.param.__name__} is not installed: it comes with the extra lint")
    return request.param


def test_each_planted_mistake_is_found(checker, tmp_path):
    path = FILES / "mistakes.py"
    planted = {i for i, line in enumerate(path.read_text().splitlines(), 1) if line.endswith("# wrong")}
    assert len(planted) > 40
    assert checker(path, tmp_path) == planted


def test_right_uses_are_not_reported(checker, tmp_path):
    assert checker(FILES / "uses.py", tmp_path) == set()
