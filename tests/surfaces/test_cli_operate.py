"""The commands that operate on runs, called in this process."""

from __future__ import annotations

import json
import plistlib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nbdag.cli import main

COMMANDS = ("clear", "mark", "resume", "why", "pools", "backfill", "db", "gc", "doctor", "scheduler")


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("NBDAG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_shows_examples(call: Callable[..., Result], command: str) -> None:
    answer = call(command, "--help")
    assert answer.exit_code == 0
    assert f"nbdag {command}" in answer.output.partition("Examples:")[2]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["clear", "latest"], 1, "there is no run in"),
        (["why", "latest", "a"], 1, "there is no run in"),
        (["resume"], 1, "there is no run in"),
        (["mark", "lost", "latest", "a"], 2, "'lost' is not one of 'success', 'failed', 'skipped'"),
        (["pools", "set", "gpu", "-5"], 2, "a pool cannot have -5 slots"),
        (["pools", "delete", "gpu"], 1, "there is no pool 'gpu'"),
        (["backfill", "churn", "--from", "x", "--to", "2026-01-01"], 2, "'x' is no date"),
        (["backfill", "churn", "--from", "2026-01-01", "--to", "2026-01-02"], 1, "no DAG 'churn' is deployed"),
        (["gc", "--keep", "soon"], 2, "'soon' is no length of time"),
        (["scheduler", "--print-unit", "cron"], 2, "'cron' is not one of 'systemd', 'launchd'"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    call: Callable[..., Result], words: list[str], code: int, said: str
) -> None:
    answer = call(*words)
    assert answer.exit_code == code
    assert said in answer.stderr
    assert answer.stderr.startswith("nbdag: ")
    assert len(answer.stderr.splitlines()) == 1


def test_pools_are_listed_for_programs(call: Callable[..., Result]) -> None:
    assert call("pools", "set", "gpu", 2).output == "pool gpu: 2 slots, 0 in use\n"
    assert {"name": "gpu", "slots": 2, "used": 0, "tasks": []} in json.loads(call("pools", "list", "-o", "json").output)
    assert call("db", "check").exit_code == 0
    assert "0 values, 0 notebooks, 0 folders" in call("gc").output


def test_a_unit_starts_this_interpreter_and_ends_its_tasks_in_good_order(call: Callable[..., Result]) -> None:
    systemd = call("scheduler", "--print-unit", "systemd", "--jobs", 4).output
    assert '"-m" "nbdag" "scheduler" "--jobs" "4"' in systemd
    assert "KillMode=mixed" in systemd
    launchd = plistlib.loads(call("scheduler", "--print-unit", "launchd").output.encode())
    assert launchd["ProgramArguments"][1:] == ["-m", "nbdag", "scheduler"]
    assert launchd["KeepAlive"] is True
