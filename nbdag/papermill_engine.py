"""An engine for papermill: `papermill IN OUT --engine nbdag` runs a tagged notebook as a DAG.

Papermill loads `DagEngine` through an entry point while papermill itself is being imported. So this module imports
nothing heavy, and must not import papermill, whose import is incomplete at that moment. An engine consists of three
class methods.

As with `nbdag run`, a parameter that the notebook does not have is an error, and so is a value that breaks a rule of
the parameters cell.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .core.model.cell_tags import ERROR, INJECTED, tags_of


class DagEngine:
    """Runs a notebook's tasks as `nbdag run` does, and returns the report to papermill."""

    @classmethod
    def execute_notebook(
        cls,
        nb: Any,
        kernel_name: str,
        *,
        input_path: str | None = None,
        output_path: str | None = None,
        **_: Any,  # ignored: options for papermill's progress bar, log and timeouts
    ) -> Any:
        """Run the DAG; return the notebook, in which the cell of each task has the task's outputs."""
        import nbformat

        from . import runs

        parameters: Mapping[str, Any] = nb.metadata.get("papermill", {}).get("parameters") or {}
        with tempfile.TemporaryDirectory(prefix="nbdag-") as folder:
            # Write the notebook to a new local file, without the parameters cell that papermill has added. The run
            # needs a file, but papermill's input may also be a bucket or standard input.
            source = Path(folder) / f"{_stem(input_path)}.ipynb"
            source.write_text(json.dumps(_source(nb, kernel_name)), encoding="utf-8")
            run = runs.run(
                source,
                parameters=parameters,
                output=_local(output_path),
                overwrite=True,
                cwd=Path.cwd(),
            )
        report = nbformat.read(str(run.notebook), as_version=4)
        metadata = nb.metadata.get("papermill", {})
        report.metadata.papermill = {
            **metadata,
            **report.metadata.get("papermill", {}),
            "parameters": run.to_dict()["parameters"],  # the values of secret parameters are masked
        }
        # Remove the report's error messages, because papermill adds its own message for the first failure.
        report.cells = [cell for cell in report.cells if ERROR not in tags_of(cell)]
        return report

    @classmethod
    def nb_kernel_name(cls, nb: Any, name: str | None = None) -> str:
        """Return the name of the notebook's kernel; the default is the Python kernel."""
        return name or nb.metadata.get("kernelspec", {}).get("name") or "python3"

    @classmethod
    def nb_language(cls, nb: Any, language: str | None = None) -> str:
        """Return the language that the notebook names, by default Python."""
        named = nb.metadata.get("kernelspec", {}).get("language")
        return language or named or nb.metadata.get("language_info", {}).get("name") or "python"


def _source(nb: Any, kernel_name: str) -> dict[str, Any]:
    """Return the notebook without cells that papermill added, and with the kernel that papermill was asked to use."""
    cells = [cell for cell in nb.cells if INJECTED not in tags_of(cell)]
    metadata = {name: value for name, value in nb.metadata.items() if name != "papermill"}
    metadata["kernelspec"] = {"display_name": kernel_name, **metadata.get("kernelspec", {}), "name": kernel_name}
    return {**nb, "cells": cells, "metadata": metadata}


def _stem(input_path: str | None) -> str:
    return Path(input_path).stem if input_path and input_path != "-" else "notebook"


def _local(output_path: str | None) -> str | None:
    """Return the output path if it is a local notebook, so that the report can be written there during the run."""
    return output_path if output_path and output_path.endswith(".ipynb") and "://" not in output_path else None
