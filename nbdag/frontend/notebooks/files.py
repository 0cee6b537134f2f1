"""The notebook files below a folder, for a list from which a person chooses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ...home import Home
from ...notebooks import has_tasks, is_text
from ...runs import deployed_paths
from .messages import NotebookFile, NotebookFiles

_SKIPPED = frozenset({"node_modules", "__pycache__", "site-packages"})
_MOST = 5_000  # maximum length of the list
_MOST_FOLDERS = 20_000  # maximum number of folders that are read


def notebook_files(root: Path, *, home: Home) -> NotebookFiles:
    """Return the notebooks below a folder, by path; hidden folders are skipped."""
    deployed = {os.path.normpath(path): dag for path, dag in deployed_paths(home=home).items()}
    items: list[NotebookFile] = []
    complete = True
    for folders, found in enumerate(_folders(root)):
        if len(items) >= _MOST or folders >= _MOST_FOLDERS:
            complete = False
            break
        folder, names = found
        for name in names:
            path = f"{folder}/{name}"
            items.append({"path": os.path.relpath(path, root), "dag": deployed.get(path)})
    return {"items": sorted(items[:_MOST], key=lambda each: each["path"]), "complete": complete}


def _folders(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder with the names of its notebooks, level by level from the top."""
    waiting = [os.path.normpath(root.absolute())]
    for folder in waiting:
        names = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name not in _SKIPPED:
                            waiting.append(entry.path)
                    elif entry.name.endswith(".ipynb") or (is_text(entry.name) and has_tasks(entry.path)):
                        names.append(entry.name)
        except OSError:
            continue
        yield folder, names
