"""Which modules a fork server preloads, and which it leaves to the tasks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import LONG

from nbdag.kernels.forkserver import server_spec as server_spec
from nbdag.kernels.forkserver.client import Server
from nbdag.kernels.forkserver.preload import preloadable
from nbdag.kernels.forkserver.server_spec import ServerSpec, relevant_env
from nbdag.kernels.jupyter.connection import IN_EVERY_SERVER, kernel_server_spec

HERE = str(Path(__file__).parent)
DESCRIBE = "children:describe"


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("numpy", True),
        ("numpy.linalg", True),
        ("sklearn:linear_model", True),
        ("json", True),
        ("os.path:join", True),
        ("typing_extensions", True),  # one file
        ("no_such_module", False),
        ("this", False),  # prints
        ("antigravity", False),  # opens a browser
        ("__main__", False),
    ],
)
def test_only_installed_modules_are_preloaded(name, chosen, tmp_path):
    assert preloadable([name], tmp_path, env={}) == ((name,) if chosen else ())


@pytest.mark.parametrize("local", ["{}.py", "{}/__init__.py"])
def test_modules_of_the_notebooks_folder_are_not_preloaded(tmp_path, local):
    for name in ("mine", "numpy"):
        file = tmp_path / local.format(name)
        file.parent.mkdir(exist_ok=True)
        file.write_text("")
    assert preloadable(["mine", "numpy", "numpy.linalg", "pandas"], tmp_path, env={}) == ("pandas",)


def test_pythonpath_shadows_the_standard_library_but_a_local_file_does_not(tmp_path):
    (tmp_path / "json.py").write_text("")
    assert preloadable(["json"], tmp_path, env={}) == ("json",)
    assert preloadable(["json", "csv"], tmp_path / "other", env={"PYTHONPATH": str(tmp_path)}) == ("csv",)


def test_imports_of_the_standard_library_alone_need_no_other_server():
    names = ("os", "random", "datetime:datetime", "collections.abc:Mapping", "logging")
    assert set(names[:2]) < IN_EVERY_SERVER
    assert kernel_server_spec(names) == kernel_server_spec()
    assert kernel_server_spec([*names, "pandas", "logging.handlers"]).modules == ("pandas", "logging.handlers")


def test_linked_and_editable_packages_are_not_preloaded(tmp_path, monkeypatch):
    site, work = tmp_path / "site-packages", tmp_path / "work" / "linked"
    site.mkdir()
    work.mkdir(parents=True)
    (work / "__init__.py").write_text("")
    (site / "linked").symlink_to(work)
    (site / "installed.py").write_text("")
    monkeypatch.setattr("nbdag.kernels.forkserver.preload.site_dirs", lambda: (site,))
    (work.parent / "editable.py").write_text("")
    monkeypatch.syspath_prepend(str(work.parent))  # what an editable install's .pth file does
    assert preloadable(["linked", "editable", "installed"], tmp_path, env={}) == ("installed",)


def test_choosing_modules_imports_nothing(tmp_path, monkeypatch):
    site = tmp_path / "site-packages"
    site.mkdir()
    (site / "explodes.py").write_text("raise SystemExit('imported')")
    monkeypatch.setattr("nbdag.kernels.forkserver.preload.site_dirs", lambda: (site,))
    assert preloadable(["explodes", "explodes:x"], tmp_path, env={}) == ("explodes", "explodes:x")


@pytest.mark.parametrize(
    ("name", "same"),
    [
        (name, True)
        for name in (
            "TERM",
            "PWD",
            "SSH_TTY",
            "NBDAG_HOME",
            "JPY_PARENT_PID",
            "AIRFLOW_CTX_TASK_ID",
            "__AIRFLOW_SUPERVISOR_FD",
        )
    ]
    + [("PAGER", True), ("MPLBACKEND", False), ("KMP_INIT_AT_FORK", False)]
    + [
        (name, False) for name in ("PYTHONPATH", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "HOME", "LANG", "TZ", "ANYTHING")
    ],
)
def test_only_transient_variables_leave_the_key_unchanged(name, same):
    before = {"PATH": "/bin", name: "a"}
    keys = {ServerSpec.of(targets=[DESCRIBE], env={**before, name: value}).key for value in ("a", "b")}
    assert (len(keys) == 1) is same


def test_an_empty_variable_counts():
    assert relevant_env({"EMPTY": ""}) == {"EMPTY": ""}


@pytest.mark.parametrize(
    ("modules", "counts"), [((), False), (("sklearn.svm:SVC",), False), (("torch",), True), (("sklearnex",), True)]
)
def test_variables_that_scikit_learn_sets_count_only_for_other_libraries(modules, counts):
    env = {"KMP_DUPLICATE_LIB_OK": "True", "KMP_INIT_AT_FORK": "FALSE"}
    assert relevant_env(env, modules) == (env if counts else {})
    assert relevant_env({"KMP_DUPLICATE_LIB_OK": "no"}, modules) == {"KMP_DUPLICATE_LIB_OK": "no"}


def test_other_modules_change_the_key():
    assert len({ServerSpec.of(names, targets=[DESCRIBE]).key for names in ([], ["json"], ["json", "csv"])}) == 3


def test_an_installed_or_upgraded_package_changes_the_key(tmp_path, monkeypatch):
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.setattr(server_spec, "site_dirs", lambda: (site,))
    keys = [ServerSpec.of(targets=[DESCRIBE]).key]
    for change in (
        lambda: (site / "package-1.0.dist-info").mkdir(),
        lambda: (site / "package-1.0.dist-info").rename(site / "package-1.1.dist-info"),
        lambda: (site / "editable.pth").write_text("/a"),
        lambda: (site / "editable.pth").write_text("/b"),
    ):
        time.sleep(0.02)  # file timestamps have a limited resolution
        change()
        keys.append(ServerSpec.of(targets=[DESCRIBE]).key)
    assert len(set(keys)) == len(keys)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[[dict[str, str]], tuple[dict[str, Any], Server]]]:
    """Starts a server that preloads these modules; returns what a child observes, and the server."""
    made: list[Server] = []

    def serve(modules: dict[str, str]) -> tuple[dict[str, Any], Server]:
        for name, source in modules.items():
            (tmp_path / f"{name}.py").write_text(source)
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([HERE, str(tmp_path)]), "OWN": str(time.time_ns())}
        made.append(Server.connect(ServerSpec.of(modules, targets=[DESCRIBE], env=env)))
        out = tmp_path / "seen.json"
        with made[-1].fork(DESCRIBE, str(out).encode(), env=env) as child:
            assert child.wait(LONG) == 0
        return json.loads(out.read_text()), made[-1]

    yield serve
    for server in made:
        server.stop()


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (
            "import threading, time; threading.Thread(target=time.sleep, args=(99,), daemon=True, name='T').start()",
            "thread",
        ),
        ("import _thread, time; _thread.start_new_thread(time.sleep, (99,)); time.sleep(0.1)", "thread"),
        ("print('welcome')", "prints"),
        ("import warnings; warnings.warn('old')", "warns"),
        ("import os; os.write(2, b'raw')", "prints"),
        ("import gone_missing", "ModuleNotFoundError"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("import os; os._exit(3)", "ended the process"),
        ("import os; os.kill(os.getpid(), 11)", "ended the process"),
    ],
)
def test_an_import_with_side_effects_is_left_to_the_task(served, source, why):
    seen, server = served({"good": "x = 1", "bad": source, "better": "import good"})
    status = server.status(LONG)
    assert status is not None
    assert {"good", "better"} <= set(seen["modules"])
    assert "bad" not in seen["modules"]
    assert status.modules == ("good", "better")
    assert list(status.not_preloaded) == ["bad"] and why in status.not_preloaded["bad"]
    assert seen["threads"] == 1


def not_preloaded_in_new_process(names: list[str], notes: Path) -> dict[str, str]:
    """`import_ahead` forks, which is safe only in a process without threads; earlier tests have started some here."""
    code = "import json, pathlib, sys; from nbdag.kernels.forkserver.importing import import_ahead\n"
    code += "found = import_ahead(json.loads(sys.argv[1]), pathlib.Path(sys.argv[2]), lambda: None)[1]\n"
    code += "print('\\n' + json.dumps(dict(found)))"  # one of the modules prints, too
    words = [sys.executable, "-c", code, json.dumps(names), notes]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_an_import_that_ended_the_process_is_retried_later(tmp_path):
    notes, now = tmp_path / "notes", time.time()
    for age, believed in ((0, True), (3600, False)):
        notes.write_text(json.dumps({"csv": "its import ended the process", "this": "its import prints or warns"}))
        os.utime(notes, (now - age, now - age))
        not_preloaded = not_preloaded_in_new_process(["csv", "this"], notes)
        assert (not_preloaded.get("csv") == "its import ended the process") is believed
        assert "this" in not_preloaded


def test_environment_changes_of_imports_reach_the_child(served):
    source = "import os; os.environ['SET_BY_IMPORT'] = '1'; os.environ.pop('OWN')"
    seen, _ = served({"sets": source})
    assert seen["env"]["SET_BY_IMPORT"] == "1"
    assert "OWN" not in seen["env"]


def test_imported_members_that_are_modules_are_preloaded(served):
    seen, _ = served({"plain": "from importlib import resources"})
    assert "plain" in seen["modules"]
