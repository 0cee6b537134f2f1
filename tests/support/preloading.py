"""One fork server for many notebooks: all of them preload the same modules, which are imported once.

To import scikit-learn, pandas and matplotlib takes 4 s of processor time; a run of a small notebook takes 1 s.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from patience import LONG
from traitlets.config import Config

from nbdag.core.cells.imports import imported
from nbdag.core.planning import assemble
from nbdag.kernels.forkserver.preload import preloadable
from nbdag.kernels.jupyter.manager import TaskKernelManager

EXAMPLES = Path(__file__).parents[2] / "notebooks"
# Modules that further notebooks of the tests import.
FURTHER = """
matplotlib.ticker numpy scipy.optimize scipy.signal sklearn.cluster sklearn.compose sklearn.decomposition
sklearn.feature_extraction.text
"""


@cache
def shared_modules() -> tuple[str, ...]:
    """Return `FURTHER` and the imports of all examples except those of nbdag, as `a.b` or `a:b`."""
    notebooks = [nbformat.read(path, as_version=4) for path in sorted(EXAMPLES.glob("*.ipynb"))]
    cells = [
        re.sub(r"^%%.*\n", "", cell.source) for each in notebooks for cell in each.cells if cell.cell_type == "code"
    ]
    found = [name for code in cells for name in imported((code,)) if not re.match(r"nbdag\b", name)]
    return tuple(dict.fromkeys([*FURTHER.split(), *found]))


def share_one_server(patch: pytest.MonkeyPatch) -> None:
    """Let runs of this process preload `shared_modules` instead of what their notebooks import."""
    patch.setattr(assemble, "imports", lambda dag: shared_modules())
    patch.setenv("OPENBLAS_NUM_THREADS", "1")  # on small matrices the threads only wait for each other


def with_shared_modules(notebook: NotebookNode) -> NotebookNode:
    """Add a first cell, by which any run of the notebook preloads `shared_modules`. The cell itself does nothing.

    A notebook without large libraries does not change: it shares the server of notebooks without imports.
    """
    if not _is_heavy(notebook):
        return notebook
    lines = ["if False:"]
    for each in shared_modules():
        module, _, name = each.partition(":")
        lines.append(f"    from {module} import {name} as _" if name else f"    import {module} as _")
    notebook.cells.insert(0, nbformat.v4.new_code_cell("\n".join(lines)))
    return notebook


def _is_heavy(notebook: NotebookNode) -> bool:
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return re.search(r"\b(sklearn|pandas|matplotlib)\b", code) is not None


def execute_plainly(notebook: NotebookNode, folder: Path) -> None:
    """Run all cells of a notebook in one kernel, which is forked from the server of the runs in this folder."""
    modules = shared_modules() if _is_heavy(notebook) else ()
    place = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, startup_timeout=int(LONG), resources=place, **warm_kernel(folder, modules)).execute()


def warm_kernel(folder: Path, modules: Sequence[str]) -> dict[str, Any]:
    """Return the options of nbclient, or of papermill, by which a kernel with these modules is forked."""
    config = Config({"TaskKernelManager": {"modules": list(preloadable(modules, folder))}})
    return {"kernel_manager_class": TaskKernelManager, "config": config}
