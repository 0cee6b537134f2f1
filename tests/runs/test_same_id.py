"""Two DAGs that are due at the same time have runs of one id: what a command is told, and tells, means one of them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nbdag import runs
from nbdag.cli import main
from nbdag.home import Home
from nbdag.runs.actions.backfill import backfill

pytestmark = pytest.mark.usefixtures("in_process")
DAY = datetime(2026, 1, 1)
RUN = "backfill__2026-01-01T00-00-00.000000Z"


@pytest.fixture
def call(
    write: Callable[..., Path], home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """`nbdag …`, where a run of `good` and a failed one of `bad` have the same id."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NBDAG_HOME", str(home.root))
    for dag, code in (("good", "print('fine')"), ("bad", "print('here it is')\n1 / 0")):
        runs.deploy(write(f"%dag {dag} --schedule @daily", f"%%task a\n{code}", name=f"{dag}.ipynb"), home=home)
        backfill(dag, DAY, DAY, home=home)
        log = runs.logs(runs.find_run(RUN, dag, home=home), "a")
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"the log of {dag}")  # the executor of these tests writes none
    return lambda *words: CliRunner().invoke(main, words)


def test_without_the_dag_it_is_not_known_which_is_meant(call: Callable[..., Result]) -> None:
    assert f"ambiguous run id {RUN!r}, matches" in call("logs", RUN, "a").stderr


@pytest.mark.parametrize("dag", ["good", "bad"])
@pytest.mark.parametrize(
    "words", [("logs", RUN, "a"), ("logs", RUN, "a", "-f"), ("status", RUN), ("status", RUN, "-f"), ("why", RUN, "a")]
)
def test_a_dag_that_is_named_is_the_one_that_is_meant(
    call: Callable[..., Result], words: tuple[str, ...], dag: str
) -> None:
    said = {"good": "success" if "status" in words else "succeeded", "bad": "failed"}
    answer = call(*words, "--dag", dag)
    assert (f"the log of {dag}" if "logs" in words else said[dag]) in answer.output


@pytest.mark.parametrize(
    "words",
    [
        ("mark", "failed", RUN, "a", "--dag", "good"),
        ("clear", RUN, "--dag", "bad"),
        ("resume", RUN, "--dag", "bad"),
        ("resume", RUN, "--dag", "good"),
        ("clear", RUN, "--only-failed", "--dag", "good"),
    ],
)
def test_a_command_that_a_message_suggests_works(call: Callable[..., Result], words: tuple[str, ...]) -> None:
    told = call(*words)
    advised = re.findall(r"nbdag ((?:resume|logs|clear|status|why) [^'`)\n]+)", told.output)
    assert advised
    for command in advised:
        answer = call(*shlex.split(command.replace("TASK", "a")))
        assert not answer.stderr.startswith("nbdag: "), answer.stderr
