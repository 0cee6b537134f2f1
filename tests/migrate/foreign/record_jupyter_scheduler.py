"""Record the database of jupyter-scheduler with three job definitions, as SQL, and its staging folder.

    uv venv js && uv pip install --python js/bin/python jupyter-scheduler==2.12.1
    js/bin/python tests/migrate/foreign/record_jupyter_scheduler.py

jupyter-scheduler's own scheduler creates the definitions. `jupyter_scheduler.sql` is the dump, `jupyter_scheduler/` has
the copies of the notebooks.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from jupyter_scheduler.environments import StaticEnvironmentManager  # type: ignore[import-not-found, unused-ignore]
from jupyter_scheduler.models import CreateJobDefinition  # type: ignore[import-not-found, unused-ignore]
from jupyter_scheduler.orm import create_tables  # type: ignore[import-not-found, unused-ignore]
from jupyter_scheduler.scheduler import Scheduler  # type: ignore[import-not-found, unused-ignore]

HERE = Path(__file__).parent
CELLS = [
    ("markdown", "# Sales\n\nThe sales of a region.", []),
    ("code", "import math", []),
    ("code", "alpha = 0.1\nregion = 'EU'", ["parameters"]),
    ("code", "sales = [math.sqrt(n) * alpha for n in range(5)]", []),
    ("code", "total = sum(sales)\nprint(region, round(total, 3))", []),
]


def notebook() -> dict[str, object]:
    """Return the notebook of the jobs."""
    cells = []
    for kind, source, tags in CELLS:
        own = {"outputs": [], "execution_count": None} if kind == "code" else {}
        cells.append({"cell_type": kind, "source": source, "metadata": {"tags": tags} if tags else {}, **own})
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4}


def main() -> None:
    """Write the files."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "sales.ipynb").write_text(json.dumps(notebook()), encoding="utf-8")
        url = f"sqlite:///{root / 'scheduler.sqlite'}"
        create_tables(url)
        staging = root / "scheduler_staging_area"
        scheduler = Scheduler(
            db_url=url, root_dir=folder, staging_path=str(staging), environments_manager=StaticEnvironmentManager()
        )
        common: dict[str, object] = {"input_uri": "sales.ipynb", "runtime_environment_name": "python3"}
        common |= {"runtime_environment_parameters": {}, "output_formats": ["ipynb"]}
        made = [
            {"name": "nightly sales", "schedule": "30 2 * * 1-5", "timezone": "Europe/Berlin", "tags": ["sales", "eu"]},
            {"name": "nightly sales", "schedule": "@daily", "timezone": "UTC", "output_formats": ["ipynb", "html"]},
            {"name": "Weekly (US)", "schedule": "0 0 * * 0", "parameters": {"region": "'US'", "alpha": "2 / 4"}},
        ]
        ids = {}
        for number, each in enumerate(made):
            id = scheduler.create_job_definition(CreateJobDefinition(**(common | each)))
            id = asyncio.run(id) if asyncio.iscoroutine(id) else id
            ids[id] = f"definition-{number}"
        with closing(sqlite3.connect(root / "scheduler.sqlite")) as connection:
            text = "\n".join(connection.iterdump()) + "\n"
        shutil.rmtree(HERE / "jupyter_scheduler", ignore_errors=True)
        for id, plain in ids.items():
            text = text.replace(id, plain)
            shutil.copytree(staging / id, HERE / "jupyter_scheduler" / plain)
        (HERE / "jupyter_scheduler.sql").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
