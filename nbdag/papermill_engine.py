"""`papermill IN OUT --engine nbdag`: a tagged notebook, run as a DAG by whatever already speaks papermill.

Papermill finds `DagEngine` by its entry point whenever it is imported, so nothing heavy is imported here, papermill
itself least of all: it is half-made at that moment. What papermill asks of an engine is three class methods.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .core.model.cell_tags import ERROR, INJECTED, tags_of


class DagEngine:
    """Runs a notebook's tasks as `nbdag run` would, and gives papermill the report."""

    @classmethod
    def execute_notebook(
        cls,
        nb: Any,
        kernel_name: str,
        *,
        input_path: str | None = None,
        output_path: str | None = None,
        **_: Any,  # papermill's progress bar, log and timeouts: the run has its own
    ) -> Any:
        """Run the DAG; the notebook that comes back has every task's outputs in its own cell."""
        import nbformat

        from . import runs

        parameters: Mapping[str, Any] = nb.metadata.get("papermill", {}).get("parameters") or {}
        with tempfile.TemporaryDirectory(prefix="nbdag-") as folder:
            # Papermill has put its parameters into a cell of the notebook that it hands over, and the input may
            # be anything that it can read (a bucket, standard input): so the run is given a file of its own.
            source = Path(folder) / f"{_stem(input_path)}.ipynb"
            source.write_text(json.dumps(_source(nb, kernel_name)), encoding="utf-8")
            run = runs.run(source, parameters=parameters, output=_local(output_path), overwrite=True, cwd=Path.cwd())
        report = nbformat.read(str(run.notebook), as_version=4)
        said = nb.metadata.get("papermill", {})
        report.metadata.papermill = {**said, **report.metadata.get("papermill", {}), "parameters": dict(parameters)}
        # Papermill marks the first failure itself.
        report.cells = [cell for cell in report.cells if ERROR not in tags_of(cell)]
        return report

    @classmethod
    def nb_kernel_name(cls, nb: Any, name: str | None = None) -> str:
        """The kernel that the notebook names, else Python's."""
        return name or nb.metadata.get("kernelspec", {}).get("name") or "python3"

    @classmethod
    def nb_language(cls, nb: Any, language: str | None = None) -> str:
        """The language that the notebook names, else Python."""
        named = nb.metadata.get("kernelspec", {}).get("language")
        return language or named or nb.metadata.get("language_info", {}).get("name") or "python"


def _source(nb: Any, kernel_name: str) -> dict[str, Any]:
    """The notebook without what papermill put into it, and with the kernel that it was told."""
    cells = [cell for cell in nb.cells if INJECTED not in tags_of(cell)]
    metadata = {name: value for name, value in nb.metadata.items() if name != "papermill"}
    metadata["kernelspec"] = {"display_name": kernel_name, **metadata.get("kernelspec", {}), "name": kernel_name}
    return {**nb, "cells": cells, "metadata": metadata}


def _stem(input_path: str | None) -> str:
    return Path(input_path).stem if input_path and input_path != "-" else "notebook"


def _local(output_path: str | None) -> str | None:
    """The output, where it is a file that the report can be written to while the run goes on."""
    return output_path if output_path and output_path.endswith(".ipynb") and "://" not in output_path else None
