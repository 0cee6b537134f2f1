"""Tests of `nbdag run` and of the commands that report on runs, with real kernels and separate processes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WriteNotebook = Callable[..., Path]


DIAMOND = (
    "%load_ext nbdag\n%dag diamond",
    "%%params\nscale = 2",
    "%%task start\nrows = [1, 2, 3]\nprint('three rows')",
    "%%task left\nleft = sum(rows) * scale",
    "%%task right\nright = max(rows) * scale",
    "%%task join\nprint('joined', left, right)\nleft + right",
)
BROKEN = (
    "%%task fine\nok = 1\nprint('fine is fine')",
    "%%task breaks\nprint('about to break')\nvalue = 1\nvalue / 0",
    "%%task after_it --after breaks\nprint('never')",
)


def texts(report: Path) -> dict[str, str]:
    """Return the outputs of each task's cell in a report, as JSON."""
    found = {}
    for cell in json.loads(report.read_text())["cells"]:
        source = "".join(cell["source"])
        match = re.match(r"%%task (\w+)", source)
        if match:
            found[match[1]] = json.dumps(cell["outputs"])
    return found


def test_run_prints_the_path_of_a_report_with_all_outputs(nbdag: Any, write_notebook: WriteNotebook) -> None:
    done = nbdag("run", write_notebook(*DIAMOND))
    assert done.returncode == 0, done.stdout + done.stderr
    report = nbdag.folder / done.stdout.splitlines()[-1]
    shown = texts(report)
    assert "three rows" in shown["start"]
    assert "joined 12 6" in shown["join"]
    assert "18" in shown["join"]
    for task in ("start", "left", "right", "join"):
        assert re.search(rf"{task}: success", done.stdout)


def test_run_accepts_parameters_and_an_output_path_as_papermill_does(nbdag: Any, write_notebook: WriteNotebook) -> None:
    done = nbdag("run", write_notebook(*DIAMOND), "out.ipynb", "-p", "scale", "10")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "out.ipynb"
    assert "joined 60 30" in texts(nbdag.folder / "out.ipynb")["join"]


@pytest.mark.slow
def test_a_file_that_is_not_a_report_is_only_replaced_with_overwrite(nbdag: Any, write_notebook: WriteNotebook) -> None:
    first, second = (write_notebook("%%task a\nx = 1", name=name) for name in ("one.ipynb", "two.ipynb"))
    kept = {second: second.read_bytes(), nbdag.folder / "a.yml": b"a: 1\n", nbdag.folder / "empty.json": b"{}"}
    for path, text in kept.items():
        path.write_bytes(text)
        done = nbdag("run", first, path.name)
        assert (done.returncode, done.stdout) == (2, "")
        assert (
            f"{path.name} already exists and is not a run report; choose another file or pass --overwrite"
            in done.stderr
        )
        assert path.read_bytes() == text
    (nbdag.folder / "out.ipynb").touch()  # as mktemp makes one
    for words in (["out.ipynb"], ["out.ipynb"], ["two.ipynb", "--overwrite"]):
        assert nbdag("run", first, *words).returncode == 0
        assert texts(nbdag.folder / words[0]).keys() == {"a"}
        assert json.loads((nbdag.folder / words[0]).read_text())["metadata"]["nbdag"]["dag"] == "one"


@pytest.mark.slow
def test_json_contains_the_requested_report_path_while_that_file_exists(
    nbdag: Any, write_notebook: WriteNotebook
) -> None:
    told = json.loads(nbdag("run", write_notebook(*DIAMOND), "out.ipynb", "--json").stdout)
    assert told["notebook"] == str(nbdag.folder / "out.ipynb")
    assert json.loads(nbdag("status", "-o", "json").stdout)["notebook"] == told["notebook"]
    Path(told["notebook"]).unlink()
    kept = Path(json.loads(nbdag("status", "-o", "json").stdout)["notebook"])
    assert kept.is_relative_to(nbdag.home) and kept.is_file()


@pytest.mark.slow
def test_an_unknown_parameter_is_reported_once_and_cached_tasks_are_marked(
    nbdag: Any, write_notebook: WriteNotebook
) -> None:
    path = write_notebook("%%params\nscale = 2", "%%task start --cache\nx = scale", "%%task next_ --cache\ny = x")
    for show in ("--progress", "--no-progress"):
        done = nbdag("run", path, "-p", "scael", "3", "--allow-unknown", show)
        assert done.returncode == 0, done.stderr
        assert (done.stdout + done.stderr).count("sets no 'scael' (did you mean 'scale'?)") == 1
    done = nbdag("run", path)
    assert re.search(r"start: success: cached: result of run manual__", done.stdout)
    assert re.search(r"next_ +\S* ?success .*cached: result of run manual__", nbdag("status").stdout)
    assert "cached" not in nbdag("run", path, "--no-cache").stdout


def test_run_json_prints_only_json_on_standard_output(nbdag: Any, write_notebook: WriteNotebook) -> None:
    done = nbdag("run", write_notebook(*DIAMOND), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert {"run_id", "dag", "state", "started", "ended", "duration", "notebook", "tasks"} <= set(told)
    assert told["dag"] == "diamond"
    assert told["state"] == "success"
    tasks = {task["id"]: task for task in told["tasks"]}
    assert list(tasks) == ["start", "left", "right", "join"]
    keys = {
        "id",
        "map_index",
        "state",
        "tries",
        "started",
        "ended",
        "duration",
        "outputs",
        "warnings",
        "notebook",
        "error",
    }
    assert keys <= set(tasks["start"])
    (output,) = tasks["start"]["outputs"]
    assert {"name": "rows", "type": "list"}.items() <= output.items()
    assert set(output) == {"name", "type", "bytes", "summary"}
    assert "start: success" in done.stderr


@pytest.mark.slow
def test_a_failure_affects_only_downstream_tasks_and_every_command_reports_it(
    nbdag: Any, write_notebook: WriteNotebook
) -> None:
    done = nbdag("run", write_notebook(*BROKEN))
    assert done.returncode == 1
    assert "fine: success" in done.stdout
    assert re.search(r"breaks: failed.*ZeroDivisionError", done.stdout)
    assert "after_it: upstream_failed" in done.stdout
    last = "\n".join(done.stdout.splitlines()[-25:])
    assert "value / 0" in last
    assert "ZeroDivisionError: division by zero" in last
    report = nbdag.folder / done.stdout.splitlines()[-1]
    shown = texts(report)
    assert "ZeroDivisionError" in shown["breaks"]
    assert "fine is fine" in shown["fine"]

    log = nbdag("logs", "latest", "breaks")
    assert log.returncode == 0
    assert "about to break" in log.stdout
    assert "value / 0" in log.stdout
    assert "ZeroDivisionError: division by zero" in log.stdout
    assert nbdag("logs", "breaks").stdout == log.stdout  # a single word is a task of the latest run

    listed = json.loads(nbdag("runs", "-o", "json").stdout)
    assert [run["state"] for run in listed] == ["failed"]
    assert "breaks" in nbdag("runs").stdout
    status = nbdag("status")
    assert status.returncode == 0
    assert "upstream_failed" in status.stdout
    assert "ZeroDivisionError" in status.stdout


def test_a_failed_check_reports_the_values_and_is_not_retried(nbdag: Any, write_notebook: WriteNotebook) -> None:
    path = write_notebook('%%task judge --retries 3 --check "accuracy >= 0.9"\naccuracy = 0.25')
    done = nbdag("run", path, "--json")
    assert done.returncode == 1
    (task,) = json.loads(done.stdout)["tasks"]
    assert task["state"] == "failed"
    assert task["tries"] == 1
    assert "accuracy" in task["error"]
    assert "0.25" in task["error"]


@pytest.mark.slow
def test_a_failed_task_is_retried_and_the_log_of_each_attempt_is_kept(
    nbdag: Any, write_notebook: WriteNotebook
) -> None:
    flaky = (
        "%%task flaky --retries 2 --retry-delay 0s\nfrom pathlib import Path\n"
        "tried = Path('tried')\nn = len(tried.read_text()) if tried.exists() else 0\ntried.write_text('x' * (n + 1))\n"
        "print('this is try', n + 1)\nassert n >= 1, 'not yet'"
    )
    done = nbdag("run", write_notebook(flaky), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["tasks"][0]["tries"] == 2
    assert "this is try 1" in nbdag("logs", "latest", "flaky", "--try", "1").stdout
    assert "not yet" in nbdag("logs", "latest", "flaky", "--try", "1").stdout
    assert "this is try 2" in nbdag("logs", "latest", "flaky").stdout


@pytest.mark.slow
def test_a_partial_run_uses_the_values_of_the_latest_run(nbdag: Any, write_notebook: WriteNotebook) -> None:
    path = write_notebook(*DIAMOND)
    early = nbdag("run", path, "--from", "left")
    assert early.returncode != 0
    assert "start" in early.stderr
    assert nbdag("run", path, "--upto", "left,right").returncode == 0
    done = nbdag("run", path, "--only", "join", "--json")
    assert done.returncode == 0, done.stderr
    assert "joined 12 6" in texts(Path(json.loads(done.stdout)["notebook"]))["join"]
    plan = nbdag("run", path, "--from", "left", "--dry-run")
    assert plan.returncode == 0
    assert re.search(r"^run +left", plan.stdout, re.M)
    assert re.search(r"^run +join", plan.stdout, re.M)
    assert not re.search(r"^run +start", plan.stdout, re.M)
    assert len(json.loads(nbdag("runs", "-o", "json").stdout)) == 2


def test_an_unknown_task_is_rejected_with_the_nearest_name(nbdag: Any, write_notebook: WriteNotebook) -> None:
    path = write_notebook(*DIAMOND)
    for words in (["--only", "lfet"], ["--upto", "lfet"], ["--from", "lfet"]):
        done = nbdag("run", path, *words)
        assert done.returncode == 2
        assert "left" in done.stderr
        assert done.stderr.count("\n") == 1


def test_run_prints_problems_as_check_does_and_runs_no_task(nbdag: Any, write_notebook: WriteNotebook) -> None:
    done = nbdag("run", write_notebook("%%task a\nx = 1", "%%task b\ny = xx"))
    assert done.returncode == 1
    assert "nb.ipynb: cell 2, line 2: NB201 error:" in done.stderr
    assert done.stdout == ""
    assert not nbdag.home.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere/out.ipynb"], "nowhere"),
        (["-k", "no-such-kernel"], "no-such-kernel"),
        (["--cwd", "no-such-folder"], "no-such-folder"),
        (["--jobs", "0"], "--jobs"),
        (["--run", "no-such-run", "--only", "join"], "no-such-run"),
    ],
)
def test_invalid_arguments_are_rejected_before_any_task_runs(
    words: list[str], said: str, nbdag: Any, write_notebook: WriteNotebook
) -> None:
    done = nbdag("run", write_notebook(*DIAMOND), *words)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "bug" not in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert "start" not in done.stdout


def test_run_reports_a_kernel_that_is_not_installed(nbdag: Any, write_notebook: WriteNotebook) -> None:
    kernel = {"display_name": "Python 2", "language": "python", "name": "no-such-python"}
    done = nbdag("run", write_notebook("%%task a\nx = 1", kernelspec=kernel))
    assert done.returncode in (1, 2)
    assert "no-such-python" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "bug" not in done.stderr


@pytest.mark.slow
def test_commands_report_that_there_are_no_runs_yet(nbdag: Any, write_notebook: WriteNotebook) -> None:
    assert "no runs yet" in nbdag("runs").stderr
    assert nbdag("runs").returncode == 0
    assert json.loads(nbdag("runs", "-o", "json").stdout) == []
    for words in (["status"], ["logs", "latest", "a"], ["cancel", "latest"], ["status", "no-such-run"]):
        done = nbdag(*words)
        assert done.returncode in (1, 2)
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("nbdag: ")
        assert "bug" not in done.stderr
    assert not nbdag.home.exists()


@pytest.mark.slow
def test_a_run_without_a_task_is_answered_with_the_tasks_and_a_silent_task_with_a_line(
    nbdag: Any, write_notebook: WriteNotebook
) -> None:
    done = nbdag(
        "run", write_notebook("%dag m8", "%%task a\nx = 1", *(f"%%task t{n}\nprint(x)" for n in range(9))), "--json"
    )
    run = json.loads(done.stdout)["run_id"]
    shown = "a, t0, t1, t2, t3, t4, t5, t6, …"
    for command in ("logs", "why"):
        for words in ([], ["--dag", "m8"]):
            for name in ("latest", run):
                asked = nbdag(command, name, *words)
                usage = " ".join([f"nbdag {command} {name} TASK", *words])
                assert (asked.returncode, asked.stdout) == (2, "")
                assert asked.stderr == f"nbdag: name a task of the run: {usage} ({shown})\n"
        assert "has no task 'b'; its tasks are a, t0" in nbdag(command, "b").stderr
    for words in (["a"], ["latest", "a"], ["a", "-f"]):
        silent = nbdag("logs", *words)
        assert (silent.returncode, silent.stdout) == (0, "")
        assert silent.stderr == f"a wrote no output to its log (run {run} of m8)\n"
    loud = nbdag("logs", "t0")
    assert loud.stdout and not loud.stderr


@pytest.mark.slow
def test_commands_accept_the_name_of_an_instance_of_a_mapped_task(nbdag: Any, write_notebook: WriteNotebook) -> None:
    cells = (
        "%dag --on-failure no_such_module:f",
        "%%task w --map x=[0,1,2]\nx / 0",
        "%%task u\n1",
        "%%task none --map x=[]\nx",
    )
    assert nbdag("run", write_notebook(*cells)).returncode == 1
    assert "ZeroDivisionError" in nbdag("logs", "latest", "w[1]").stdout
    for words, said in (
        (["w"], "w is mapped and has 3 instances; name one of them, such as 'w[0]'"),
        (["w", "--index", "7"], "w has no instance 7; the instances are 0 to 2"),
        (["u[0]"], "this run has a single u, so omit the index"),
        (["v[0]"], "has no task 'v'; its tasks are w, u, none"),
    ):
        assert said in nbdag("logs", "latest", *words).stderr
    assert "warning NB415: no_such_module:f was not notified of the failure: ModuleNotFound" in nbdag("status").stdout
    assert re.search(r"none .*skipped .* there is no element to map over", nbdag("status").stdout)
    assert nbdag("why", "latest", "none").stdout == "none was skipped: there is no element to map over\n"
    nbdag("mark", "success", "latest", "w[0]")
    assert re.search(r"w\[0\] .*success .* marked success by hand", nbdag("status").stdout)


@pytest.mark.slow
def test_failures_show_the_lines_of_cells_and_equal_failures_are_shown_once(
    nbdag: Any, write_notebook: WriteNotebook
) -> None:
    done = nbdag(
        "run", "--no-progress",
        write_notebook(
            "import json\ndef read(text):\n    return json.loads(text)",
            "%%task b\nu = 1\nread('{')",
            "%%task r --map x=[0,1,2,3]\nraise ValueError(f'\\n{x > 2}')",
            "%%task q --when 1/0\n1",
        ),
    )  # fmt: skip
    assert (
        "\n  line 3 of b: read('{')\n  line 3 of setup, in read(text): return json.loads(text)\n  (full log"
        in done.stdout
    )
    assert "  (after a repair: nbdag run nb.ipynb --from b,r,q)\n" in done.stdout
    assert "decoder.py" not in done.stdout and "decoder.py" in nbdag("logs", "b").stdout
    assert "q failed: cannot evaluate --when 1/0: ZeroDivisionError: division by zero\n  (full log" in done.stdout
    assert "r[0] failed: ValueError: False\n  line 2 of r: raise" in done.stdout
    assert "r[1] and r[2] failed in the same way\n" in done.stdout
    assert re.search(r"r\[3\] .* ValueError: True", nbdag("status").stdout)
    assert "r[1] and r[2]: the same\n" in nbdag("why", "r").stdout
