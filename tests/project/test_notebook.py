"""The notebook runs from its first cell to its last, and is committed without outputs."""

import pytest
from processes import ROOT, run_python

nbformat = pytest.importorskip(
    "nbformat", reason="needs nbformat, nbclient and ipykernel: the extra notebook"
)
pytest.importorskip("nbclient", reason="needs nbclient and ipykernel: the extra notebook")
pytest.importorskip("ipykernel", reason="needs ipykernel: the extra notebook")
pytest.importorskip("matplotlib", reason="needs matplotlib: the extra notebook")

TOUR = ROOT / "examples" / "tour.ipynb"
EXECUTE = """
import sys
import nbclient, nbformat
source, folder = sys.argv[1:]
notebook = nbformat.read(source, as_version=4)
nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": folder}}).execute()
nbformat.write(notebook, folder + "/executed.ipynb")
"""


def cells(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_is_committed_without_outputs():
    assert len(cells(TOUR)) >= 5
    assert all(not cell.outputs and cell.execution_count is None for cell in cells(TOUR))


@pytest.mark.slow
def test_it_runs(tmp_path):
    run_python("-W", "ignore", "-c", EXECUTE, TOUR, tmp_path, timeout=200)
    executed = cells(tmp_path / "executed.ipynb")
    assert [cell.execution_count for cell in executed] == list(range(1, len(executed) + 1))
    outputs = [output for cell in executed for output in cell.outputs]
    printed = "".join(output.get("text", "") for output in outputs)
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert printed.startswith("13.0 1.0\n6.0\n")
    assert "scale 16384: norm inf, clipped to [0. 0.]" in printed
    assert any("'clipped': " in output.get("data", {}).get("text/plain", "") for output in outputs)
    assert "image/png" in executed[-1].outputs[-1].data
