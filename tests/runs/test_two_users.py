"""Tests with two real users: nothing of one is executed, loaded or read by the other.

Each test starts processes as two users without privileges, which only root can do.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from patience import LONG

pytestmark = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root can start processes of two users",
)

ALICE, BOB = 61001, 61002
COMMANDS = (
    ["status"],
    ["runs"],
    ["list"],
    ["logs", "a"],
    ["why", "latest", "a"],
    ["clear", "latest", "--run"],
    ["resume", "latest"],
    ["cancel", "latest"],
    ["trigger", "nb"],
    ["run", "mine/nb.ipynb"],
    ["gc", "--keep", "1s"],
    ["db", "check"],
    ["pools", "list"],
    ["scheduler"],
)


# Each command in a forked child: what all of them import is imported once.
EACH = """
import importlib, json, os, pkgutil, sys, tempfile
import nbdag.cli, nbdag.runs, nbdag.scheduler, nbdag.store.store, sqlalchemy.dialects.sqlite

for package in (nbdag.cli, nbdag.runs, nbdag.scheduler):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)

answers = []
for words in json.loads(sys.argv[1]):
    with tempfile.TemporaryFile("w+") as said:
        child = os.fork()
        if child == 0:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            sys.argv = ["nbdag", *words]
            try:
                nbdag.cli.main(words)
            except SystemExit as exit:
                os._exit(exit.code or 0)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(99)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        answers.append([code, said.read()])
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """Yield a folder that every user can enter and write, as /tmp is."""
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o1777)
        yield Path(folder)


def call(user: int, folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return python(user, folder, "-m", "nbdag", *words, **variables)


def call_each(user: int, folder: Path, commands: Sequence[Sequence[str]]) -> list[tuple[int, str]]:
    """Return the exit code and the output of each command, all of them from one process."""
    done = python(user, folder, "-c", EACH, json.dumps(commands))
    assert done.returncode == 0, done.stderr
    return [(code, said) for code, said in json.loads(done.stdout)]


def python(user: int, folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": "/nonexistent",
        "NBDAG_RUNTIME_DIR": f"{folder}/.runtime-{user}",
        "NBDAG_IDLE": "0",
        "IPYTHONDIR": f"{folder}/.ipython-{user}",
        "JUPYTER_RUNTIME_DIR": f"{folder}/.jupyter-{user}",
        **variables,
    }

    command = [*BECOME[user], sys.executable, *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LONG)


def become(user: int) -> list[str]:
    """Return the command that continues as a user.

    The user may read every file: Python itself may be below root's home, and nbdag has to refuse what it could read.
    """
    capability = "+dac_read_search"
    names = ["--reuid", str(user), "--regid", str(user), "--clear-groups"]
    return ["setpriv", *names, "--inh-caps", capability, "--ambient-caps", capability]


BECOME = {ALICE: become(ALICE), BOB: become(BOB), 0: []}


def notebook(path: Path, user: int, *sources: str) -> None:
    cells = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": source, "execution_count": None, "outputs": []}
        for n, source in enumerate(sources)
    ]
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    os.chown(path.parent, user, user)
    os.chown(path, user, user)


@pytest.fixture(scope="module")
def template(shared: Path) -> tuple[Path, Path]:
    """Return a folder in which Alice's .nbdag has a failed run, with code that Bob must not execute; and its copy."""
    project = shared / "project"
    trap = f"import getpass, os; open('{shared}/ran-' + str(os.getuid()), 'w').close()"
    notebook(
        project / "nb.ipynb",
        ALICE,
        "%load_ext nbdag\n%dag nb --on-failure trap:spring --schedule @daily",
        f"%%task a\nclass Trap:\n    def __reduce__(self):\n        return exec, ({trap!r},)\nvalue = Trap()",
        "%%task b\nvalue\n1 / 0",
    )
    (project / "trap.py").write_text(f"def spring(message):\n    {trap}\n")
    done = call(ALICE, project, "run", "nb.ipynb", "--no-progress")
    assert done.returncode == 1, done.stdout + done.stderr
    call(ALICE, project, "deploy", "nb.ipynb")
    assert (shared / f"ran-{ALICE}").exists(), done.stdout + done.stderr
    project.chmod(0o777)
    copy = shared / "copy"
    restore(project, copy)
    return project, copy


@pytest.fixture
def planted(template: tuple[Path, Path]) -> Path:
    """Return the folder of the template as it was before any test."""
    project, copy = template
    shutil.rmtree(project)
    restore(copy, project)
    return project


def restore(source: Path, target: Path) -> None:
    """Copy a folder with its owners, modes and times."""
    subprocess.run(["cp", "-a", source, target], check=True)


@pytest.mark.slow
def test_no_command_uses_the_home_of_another_user(planted: Path, shared: Path) -> None:
    notebook(planted / "mine" / "nb.ipynb", BOB, "%%task t\nx = 1")
    home = planted / ".nbdag"
    for mode in (0o700, 0o777):  # Alice could open her home, to lure Bob
        for path in (home, *home.rglob("*")):
            path.chmod(mode if path.is_dir() else mode & 0o666)
        before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
        for words, (code, said) in zip(COMMANDS, call_each(BOB, planted, COMMANDS), strict=True):
            assert code == 1, (words, said)
            assert f"nbdag: {home} belongs to user {ALICE}" in said, (words, said)
            assert "bug in nbdag" not in said
        assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before
    assert not (shared / f"ran-{BOB}").exists()


def test_a_home_that_the_variable_names_is_trusted(planted: Path) -> None:
    for path in (planted / ".nbdag", *(planted / ".nbdag").rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    done = call(BOB, planted, "runs", "-o", "json", NBDAG_HOME=str(planted / ".nbdag"))
    assert done.returncode == 0, done.stderr
    assert [run["dag"] for run in json.loads(done.stdout)] == ["nb"]


def test_root_does_not_use_the_home_of_a_user(planted: Path) -> None:
    done = call(0, planted, "status")
    assert done.returncode == 1
    assert f"belongs to user {ALICE}, so nbdag does not use it; set NBDAG_HOME=" in done.stderr


def test_another_user_can_read_nothing_in_a_home(planted: Path) -> None:
    home = planted / ".nbdag"
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (home, *home.rglob("*"))}
    wrong = {str(path): oct(mode) for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)}
    assert not wrong
    assert len(modes) > 8


@pytest.mark.slow
def test_a_home_that_others_may_write_is_rejected(planted: Path) -> None:
    home = planted / ".nbdag"
    for path in (home, home / "values", home / "nbdag.db"):
        before = stat.S_IMODE(path.stat().st_mode)
        path.chmod(before | 0o020)
        done = call(ALICE, planted, "status")
        assert done.returncode == 1, path
        assert "can be written by other users" in done.stderr
        assert f"chmod -R go-w {home}" in done.stderr
        path.chmod(before)
    assert call(ALICE, planted, "status").returncode == 0


def test_a_link_of_another_user_is_rejected(planted: Path) -> None:
    elsewhere = planted / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    link = elsewhere / ".nbdag"
    link.symlink_to(planted / ".nbdag")
    os.chown(link, BOB, BOB, follow_symlinks=False)
    done = call(ALICE, elsewhere, "status")
    assert done.returncode == 1
    assert f"{link} belongs to user {BOB}" in done.stderr


@pytest.mark.slow
def test_the_servers_of_another_user_are_not_used(planted: Path) -> None:
    theirs = planted / f".runtime-{ALICE}"
    assert stat.S_IMODE(theirs.stat().st_mode) == 0o700
    theirs.chmod(0o777)
    notebook(planted / "mine" / "nb.ipynb", BOB, "%%task t\nx = 1")
    variables = {"NBDAG_RUNTIME_DIR": str(theirs), "NBDAG_HOME": str(planted / "mine" / "home")}
    done = call(BOB, planted, "doctor", **variables)
    assert "is not a folder that only you can enter" in done.stdout
    before = sorted(theirs.iterdir())
    assert call(BOB, planted, "run", "mine/nb.ipynb", "--no-progress", **variables).returncode == 0
    assert sorted(theirs.iterdir()) == before
