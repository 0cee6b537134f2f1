"""Tests of the commands that change runs and maintain the installation, called in the process of the tests."""

from __future__ import annotations

import configparser
import json
import plistlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nbdag import runs
from nbdag.cli import main

COMMANDS = ("clear", "mark", "resume", "why", "pools", "backfill", "db", "gc", "doctor", "scheduler")


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("NBDAG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


@pytest.mark.parametrize("command", COMMANDS)
def test_each_commands_help_shows_examples(call: Callable[..., Result], command: str) -> None:
    answer = call(command, "--help")
    assert answer.exit_code == 0
    assert f"nbdag {command}" in answer.output.partition("Examples:")[2]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["clear", "latest"], 1, "no run in"),
        (["why", "latest", "a"], 1, "no run in"),
        (["resume"], 1, "no run in"),
        (["mark", "lost", "latest", "a"], 2, "'lost' is not one of 'success', 'failed', 'skipped'"),
        (["pools", "set", "gpu", "-5"], 2, "invalid number of slots -5; expected 0 to 2147483647, or -1 for no limit"),
        (["pools", "set", "gpu", str(2**31)], 2, "invalid number of slots 2147483648; expected 0 to 2147483647"),
        (["pools", "delete", "gpu"], 1, "unknown pool 'gpu'; the pools are default_pool"),
        (
            ["backfill", "churn", "--from", "x", "--to", "2026-01-01"],
            2,
            "invalid date 'x'; expected a form such as 2026-01-31",
        ),
        (["backfill", "churn", "--from", "2026-01-01", "--to", "2026-01-02"], 1, "no DAG 'churn' is deployed"),
        (["gc", "--keep", "soon"], 2, "invalid duration 'soon'; expected a form such as 30d"),
        (["scheduler", "--executor", "nope"], 2, "unknown executor 'nope'; expected one of "),
        (["scheduler", "--print-unit", "cron"], 2, "'cron' is not one of 'systemd', 'launchd'"),
    ],
)
def test_a_wrong_argument_is_reported_in_one_sentence(
    call: Callable[..., Result], words: list[str], code: int, said: str
) -> None:
    answer = call(*words)
    assert answer.exit_code == code
    assert said in answer.stderr
    assert answer.stderr.startswith("nbdag: ")
    assert len(answer.stderr.splitlines()) == 1


def test_pools_database_and_garbage_collection_commands_print_their_results(call: Callable[..., Result]) -> None:
    assert call("pools", "set", "gpu", 2).output == "pool gpu: 2 slots, 0 in use\n"
    assert {"name": "gpu", "slots": 2, "used": 0, "tasks": []} in json.loads(call("pools", "list", "-o", "json").output)
    assert call("db", "check").exit_code == 0
    assert "0 values, 0 notebooks, 0 folders" in call("gc").output
    assert "younger than an hour are kept for now" in call("gc", "--keep", "1m").output
    assert "younger" not in call("gc", "--keep", "2h").output


LINES = [
    runs.Line(at=1767225600.0, message="the scheduler starts: 2 tasks at once, nbdag.db"),
    runs.Line(at=1767225600.5, message="is due at 06:00", dag="churn", run="r1"),
    runs.Line(at=1767225601.0, message="", dag="churn", run="r1", task="a", try_number=1, state="running"),
    runs.Line(
        at=1767225602.0, message="no luck", dag="churn", run="r1", task="b", map_index=3, try_number=2, state="failed"
    ),
]


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (
            (),
            "12:00:00 the scheduler starts: 2 tasks at once, nbdag.db\n"
            "12:00:00 churn r1: is due at 06:00\n"
            "12:00:01 churn r1 a: running\n"
            "12:00:02 churn r1 b[3]: failed (try 2): no luck\n",
        ),
        (
            ("--log-json",),
            '{"at": "12:00:00", "message": "the scheduler starts: 2 tasks at once, nbdag.db"}\n'
            '{"at": "12:00:00", "dag": "churn", "run": "r1", "message": "is due at 06:00"}\n'
            '{"at": "12:00:01", "dag": "churn", "run": "r1", "task": "a", "try": 1, "state": "running"}\n'
            '{"at": "12:00:02", "dag": "churn", "run": "r1", "task": "b", "map_index": 3, "try": 2, "state": "failed", '
            '"message": "no luck"}\n',
        ),
    ],
)
def test_the_scheduler_logs_each_event_as_a_line_or_a_json_object(
    call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], printed: str
) -> None:
    monkeypatch.setattr(runs, "schedule", lambda *, on_line, **said: [on_line(line) for line in LINES])
    answer = call("scheduler", *words).stdout
    assert re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d(:\d\d:\d\d)[.\d]*([+-]\d\d:\d\d)?", r"12\1", answer) == printed


@pytest.fixture
def odd(tmp_path: Path, call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a working directory whose name contains systemd's special characters, with the home inside."""
    folder = tmp_path / 'a "%h" $HOME'
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NBDAG_HOME", str(folder / "home"))
    return folder


def test_the_systemd_unit_runs_the_current_interpreter_in_the_current_folder(
    call: Callable[..., Result], odd: Path
) -> None:
    text = call("scheduler", "--print-unit", "systemd", "--jobs", 4).output
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text)
    assert set(unit) == {"DEFAULT", "Unit", "Service", "Install"}
    service = unit["Service"]
    assert service["ExecStart"] == f'"{sys.executable}" "-m" "nbdag" "scheduler" "--jobs" "4"'
    assert service["WorkingDirectory"] == str(odd).replace("%", "%%")
    home = str(odd / "home").replace("%", "%%").replace('"', '\\"')
    assert f'Environment="NBDAG_HOME={home}"' in text
    # systemd signals only the scheduler, which has time to wait for its tasks.
    assert (service["KillMode"], service["TimeoutStopSec"], service["Restart"]) == ("mixed", "300", "always")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_systemd_accepts_the_unit(call: Callable[..., Result], odd: Path, tmp_path: Path) -> None:
    path = tmp_path / "nbdag-scheduler.service"
    path.write_text(call("scheduler", "--print-unit", "systemd").output)
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    path.write_text(path.read_text().replace("KillMode=mixed", "KillMode=gently"))
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
    assert "gently" in done.stderr  # the command does detect errors


def test_the_launchd_property_list_runs_the_current_interpreter_in_the_current_folder(
    call: Callable[..., Result], odd: Path
) -> None:
    launchd = plistlib.loads(
        call("scheduler", "--print-unit", "launchd", "--executor", "dask", "--log-json").output.encode()
    )
    options = ["--executor", "dask", "--log-json"]
    assert launchd["ProgramArguments"] == [sys.executable, "-m", "nbdag", "scheduler", *options]
    assert launchd["WorkingDirectory"] == str(odd)
    assert launchd["EnvironmentVariables"]["NBDAG_HOME"] == str(odd / "home")
    assert (launchd["KeepAlive"], launchd["RunAtLoad"], launchd["ExitTimeOut"]) == (True, True, 300)


@pytest.mark.parametrize("kind", ["systemd", "launchd"])
def test_a_service_definition_contains_the_database_url_but_never_a_password(
    call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("NBDAG_DB_URL", "postgresql://me@db/nbdag")
    assert "postgresql://me@db/nbdag" in call("scheduler", "--print-unit", kind).output
    for secret in (
        "me:s3cret@db/nbdag",
        "me:s3cret/@db/nbdag",
        "db/nbdag?user=me&password=s3cret",
        "db/x?sslPassword=s3cret",
    ):
        monkeypatch.setenv("NBDAG_DB_URL", f"postgresql://{secret}")
        assert "s3cret" not in call("scheduler", "--print-unit", kind).output


def test_a_backfill_includes_the_whole_last_day(
    call: Callable[..., Result], write_notebook: Callable[..., Path]
) -> None:
    said = "%dag churn --schedule '0 */12 * * *' --tz Europe/Paris --start-date 2025-01-01T12:00"
    assert call("deploy", write_notebook(said, "%%task a\nx = 1")).exit_code == 0

    def ticks(first: str, last: str) -> list[str]:
        done = call("backfill", "churn", "--from", first, "--to", last, "--dry-run", "-o", "json")
        return [tick["date"][8:16] for tick in json.loads(done.output)["ticks"]]

    assert ticks("2025-01-01", "2025-01-02") == ["01T12:00", "02T00:00", "02T12:00"]
    assert ticks("2025-01-01", "2025-01-02T00:00") == ["01T12:00", "02T00:00"]
    early = call("backfill", "churn", "--from", "2024-01-01", "--to", "2024-01-02", "--dry-run")
    assert early.exit_code == 2
    assert "no past tick between these dates; it begins on 2025-01-01 12:00" in early.output


def test_trigger_rejects_an_unknown_parameter(call: Callable[..., Result], write_notebook: Callable[..., Path]) -> None:
    assert call("deploy", write_notebook("%dag churn", "%%params\nalpha = 1", "%%task a\nx = alpha")).exit_code == 0
    done = call("trigger", "churn", "-p", "alhpa", "2")
    assert (done.exit_code, done.output) == (
        2, "nbdag: the parameters cell of churn sets no 'alhpa'; did you mean 'alpha'? (or pass it anyway with --allow-unknown)\n",
    )  # fmt: skip
    assert call("trigger", "churn", "-p", "alpha", "2").exit_code == 0


def test_every_listing_reports_a_tick_that_is_due(
    call: Callable[..., Result], write_notebook: Callable[..., Path]
) -> None:
    path = write_notebook("%dag churn --schedule @daily --start-date 2020-01-01 --catchup", "%%task a\nx = 1")
    for words in (("deploy", path), ("list",), ("next", "churn")):
        assert "due now (tick of 2020-01-01 00:00:00 UTC)" in call(*words).output
    assert "no scheduler is running here" in call("list").output
    assert call("runs", "--dag", "chrun").output == "no matching runs; did you mean --dag churn?\n"
    assert call("runs", "--dag", "churn").output == "no matching runs\n"
    call("trigger", "churn")
    assert "no process executes run manual__" in call("runs").output
    assert call("pools", "set", "gpu", "-1").output == "pool gpu: no limit, 0 in use\n"
