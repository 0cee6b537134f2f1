"""Read pipelines of other tools: one module for each format, and the table of all formats.

A module has two functions: `detect(path)` returns whether a path has the module's format, and `read(path)` returns what
was imported. Reading executes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ... import notebooks
from ...notebooks import is_notebook
from . import crontab, elyra, jupyter_scheduler, kale, numbered, ploomber
from .imported import Imported, ImportedNotebook, ImportSourceError, NotCarriedOver

__all__ = ["FORMATS", "Format", "ImportSourceError", "Imported", "ImportedNotebook", "NotCarriedOver", "detect"]


@dataclass(frozen=True, slots=True)
class Format:
    """A format that can be imported."""

    title: str  # what the user passes, in words
    detect: Callable[[Path], bool]
    read: Callable[[Path], Imported]


# The order in which the formats are tried.
FORMATS = {
    "ploomber": Format("pipeline.yaml of Ploomber", ploomber.detect, ploomber.read),
    "elyra": Format("a .pipeline of Elyra", elyra.detect, elyra.read),
    "jupyter-scheduler": Format(
        "scheduler.sqlite of jupyter-scheduler", jupyter_scheduler.detect, jupyter_scheduler.read
    ),
    "kale": Format("a notebook with tags of Kale", kale.detect, kale.read),
    "crontab": Format("a crontab with papermill commands", crontab.detect, crontab.read),
    "numbered": Format("a folder of numbered notebooks", numbered.detect, numbered.read),
}


def detect(path: Path) -> str:
    """Return the name of a file's format; raise `ImportSourceError` for a format that cannot be imported."""
    if not path.exists():
        raise ImportSourceError(str(path), "does not exist", "check the path")
    for name, each in FORMATS.items():
        if each.detect(path):
            return name
    if path.suffix == ".py" and _imports_airflow(path):
        hint = "paste it into a cell below %%dag, and write nbdag.airflow instead of airflow"
        raise ImportSourceError(str(path), "is a DAG file of Airflow", hint)
    if path.is_file() and is_notebook(path):
        notebooks.read(path)  # raises an error for a file that is no notebook
        hint = f"nbdag suggest {path} proposes tasks, and nbdag run executes a notebook with tasks"
        raise ImportSourceError(str(path), "is a notebook without tags of Kale", hint)
    known = ", ".join(each.title for each in FORMATS.values())
    raise ImportSourceError(str(path), "has no known format", f"expected one of: {known}")


def _imports_airflow(path: Path) -> bool:
    text = path.read_bytes() if path.is_file() else b""
    return re.search(rb"^\s*(?:from|import)\s+airflow\b", text, re.MULTILINE) is not None
