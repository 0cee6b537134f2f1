"""Make a picture of the README.

    python -m tests.pictures widget -o notebooks/widget.png       the graph of notebooks/ml_pipeline.ipynb in JupyterLab
    python -m tests.pictures page -o notebooks/page.png           pipelines of notebooks/ on the page
    python -m tests.pictures terminal -o notebooks/run.svg        `nbdag run` of it in a terminal

All run the notebooks for real, in a new folder. The first two need Chromium and take a minute or more.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "support"))  # pytest adds this folder by its configuration
from tests.conftest import end_all_of

from .page import page
from .terminal import terminal
from .widget import widget

NOTEBOOK = Path("notebooks/ml_pipeline.ipynb")
PIPELINES = ("etl", "ml_pipeline", "quickstart", "scheduling", "validation_gate")
ROOT = Path(__file__).parents[2]


def main() -> None:
    """Read the command line, make the picture and write it."""
    usage = argparse.ArgumentParser(
        prog="python -m tests.pictures", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usage.add_argument("picture", choices=["widget", "page", "terminal"])
    usage.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    asked = usage.parse_args()
    os.environ.pop("NBDAG_HOME", None)
    os.environ.pop("NBDAG_DB_URL", None)
    with tempfile.TemporaryDirectory(prefix="nbdag-") as folder:
        servers = Path(folder, "s")
        os.environ.update(NBDAG_RUNTIME_DIR=str(servers), NBDAG_IDLE="0")  # no fork server stays for a next run
        try:
            if asked.picture == "widget":
                asked.output.write_bytes(widget(ROOT / NOTEBOOK, servers))
            elif asked.picture == "page":
                notebooks = [ROOT / "notebooks" / f"{name}.ipynb" for name in PIPELINES]
                asked.output.write_bytes(page(notebooks, servers))
            else:
                asked.output.write_text(_run_in(Path(folder)), encoding="utf-8")
        finally:
            end_all_of(folder)


def _run_in(folder: Path) -> str:
    """Return the picture of a terminal in which a copy of the notebook is run, at the same path below the folder."""
    copy = folder / NOTEBOOK
    copy.parent.mkdir()
    shutil.copy(ROOT / NOTEBOOK, copy)
    return terminal(["run", str(NOTEBOOK)], folder=folder, environment=os.environ)


if __name__ == "__main__":
    main()
