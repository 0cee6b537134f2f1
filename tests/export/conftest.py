"""Pipelines from the sources of cells."""

from __future__ import annotations

from collections.abc import Callable

import nbformat
import pytest

from nbdag.core.model.dag import Dag
from nbdag.notebooks import read_text


@pytest.fixture
def dag_of() -> Callable[..., Dag]:
    """Return a function that reads a notebook of these cells."""

    def read(*cells: str, name: str = "nb") -> Dag:
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        dag = read_text(nbformat.writes(book).encode(), name=f"{name}.ipynb")
        assert not dag.errors
        return dag

    return read
