"""Notebooks of the examples in the explanations of problem codes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def notebook(text: str) -> dict[str, Any]:
    """Return the notebook of an example in the percent format."""
    kernel = re.search(r"^# kernel: (\w+)\n", text, re.MULTILINE)
    cells = []
    for part in re.split(
        r"^(?=# %%)", re.sub(r"^# (?:\$|kernel:|\w+\.py:).*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE
    ):
        head, _, body = part.partition("\n") if part.startswith("# %%") else ("", "", part)
        tags = json.loads(head.partition("tags=")[2] or "[]")
        cells.append({
            "cell_type": "code", "id": f"c{len(cells)}", "metadata": {"tags": tags} if tags else {},
            "source": body.rstrip("\n"), "outputs": [], "execution_count": None,
        })  # fmt: skip
    language = "R" if kernel else "python"
    metadata = {"kernelspec": {"name": kernel[1] if kernel else "python3", "display_name": "", "language": language}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def steps(text: str) -> Iterator[tuple[list[str], dict[str, Any] | None]]:
    """Yield each command of an example with the notebook that the user saved before it; None stands for no change."""
    for part in re.split(r"^# then.*\n", text, flags=re.MULTILINE):
        command = re.search(r"^# \$ (?:\w+=\S+ )?nbdag (.*)$", part, re.MULTILINE)
        source = re.sub(r"^# \$.*\n?", "", part, flags=re.MULTILINE)
        yield (
            (command[1].split() if command else ["check", "notebook.ipynb"]),
            notebook(part) if source.strip() else None,
        )


def write(folder: Path, name: str, content: dict[str, Any]) -> Path:
    """Write a notebook into a folder."""
    path = folder / name
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def modules(text: str) -> dict[str, str]:
    """Return the modules of the user that an example needs, by file name."""
    return dict(re.findall(r"^# (\w+\.py): (.*)$", text, re.MULTILINE))
