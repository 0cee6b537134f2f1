"""Who is told how a run ended, and what comes of one who cannot be told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import nbdag
from nbdag import runs
from nbdag.core.states import RunState
from nbdag.home import Home
from nbdag.runs.notify import tell

pytestmark = pytest.mark.usefixtures("in_process")
Write = Callable[..., Path]
LISTENER = "def heard(what):\n    open('heard.txt', 'a').write(what['event'] + ' ' + str(what['task']) + '\\n')\n"


@pytest.mark.parametrize(
    ("cell", "heard"),
    [
        ("%%task a\nx = 1", "success None\n"),
        ("%%task a --retries 1 --retry-delay 0\n1 / 0", "retry a\nfailure None\n"),
    ],
)
def test_a_function_is_told_what_came_of_a_run(write: Write, home: Home, tmp_path: Path, cell: str, heard: str) -> None:
    (tmp_path / "listener.py").write_text(LISTENER)
    whom = "listener:heard"
    nbdag.run(write(f"%dag churn --on-failure {whom} --on-success {whom} --on-retry {whom}", cell), home=home)
    assert sorted((tmp_path / "heard.txt").read_text().splitlines()) == sorted(heard.splitlines())


def test_one_that_fails_is_a_note_and_the_run_succeeds(write: Write, home: Home) -> None:
    run = nbdag.run(write("%dag churn --on-success nosuchmodule:f", "%%task a\nx = 1"), home=home)
    assert run.state is RunState.SUCCESS
    (note,) = runs.find_run(run.id, home=home).warnings
    assert note.code == "NB415"
    assert "No module named 'nosuchmodule'" in note.message


def test_one_that_never_answers_is_ended(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\ndef f(what): time.sleep(600)\n")
    assert tell("slow:f", {}, cwd=str(tmp_path), limit=1.0) == "it took more than 1 s"
