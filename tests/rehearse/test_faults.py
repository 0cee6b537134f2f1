"""`rehearse` finds each planted fault, says nothing of clean notebooks, and reports each cause once."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbdag import runs

from .cases import CLEAN, FAULTS, cell, notebook, write


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.usefixtures("shared_kernels")
def test_a_planted_fault_is_the_one_finding(name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    done = runs.rehearse(write(tmp_path, fault.cells, fault.files))
    assert [(each.kind, each.cell, each.weight) for each in done.findings] == [(fault.kind, fault.at, fault.weight)]
    (found,) = done.findings
    assert fault.line in (None, found.line)
    assert fault.says in " ".join([found.message, *found.evidence])
    assert found.remedy


@pytest.mark.parametrize("name", CLEAN)
@pytest.mark.usefixtures("shared_kernels")
def test_a_clean_notebook_has_no_finding(name: str, tmp_path: Path) -> None:
    done = runs.rehearse(write(tmp_path, CLEAN[name], {"in.csv": "a\nb\n"}))
    assert done.findings == ()
    assert len(done.seconds) == 2
    assert "Nothing was found" in runs.rehearsal_page(done)


def test_thirty_faults_and_ten_clean_notebooks() -> None:
    assert len(FAULTS) >= 30
    assert len(CLEAN) >= 10


def test_cell_helper_counts_from_one() -> None:
    assert [each.execution_count for each in notebook(["a", cell("b", count=7), "c"]).cells] == [1, 7, 3]
