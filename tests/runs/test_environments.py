"""Environments of %dag --requires, which uv makes."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from nbdag import environments, runs
from nbdag.building import read_built
from nbdag.building.process import BuildResult
from nbdag.core.model.states import RunState
from nbdag.environments import EnvironmentFolderError, RequirementsError, UvError, UvMissingError, locked
from nbdag.errors import NbdagError
from nbdag.home import Home

FAKE_UV = """#!{python}
import sys
from pathlib import Path
arguments = sys.argv[1:]
with open({calls!r}, "a") as file:
    file.write(" ".join(arguments[:2]) + "\\n")
if arguments[:2] == ["pip", "compile"]:
    asked = sys.stdin.read()
    if "nosuch" in asked:
        sys.exit("error: No solution found when resolving dependencies\\n  cause: Because nosuch was not found in the "
                 "package registry and you require nosuch, it fails.\\n\\nhint: something else")
    print(asked, end="")
elif arguments[0] == "venv":
    place = Path(arguments[-1])
    (place / "bin").mkdir(parents=True)
    (place / "lib/python3/site-packages").mkdir(parents=True)
    (place / "bin/python").symlink_to(sys.executable)
else:
    print("Resolved 1 package in 2ms\\nInstalled 1 package in 1ms\\n + six==1.16", file=sys.stderr)
"""


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Replace uv by a program that records its calls; return a function that returns them."""
    monkeypatch.setenv("NBDAG_CACHE", str(tmp_path / "cache"))
    program, calls = tmp_path / "uv", tmp_path / "calls"
    program.write_text(FAKE_UV.format(python=sys.executable, calls=str(calls)))
    program.chmod(0o700)
    monkeypatch.setattr(environments, "_uv_path", lambda: str(program))
    return lambda: calls.read_text().splitlines() if calls.exists() else []


def test_an_environment_is_made_once_for_each_content_and_kept_while_it_is_used(
    uv: Callable[[], list[str]], tmp_path: Path
) -> None:
    said: list[str] = []
    packages = locked(["six==1.16"], tmp_path, said.append)
    assert "six==1.16" in packages.splitlines() and any(line.startswith("ipykernel") for line in packages.splitlines())
    first = environments.ensure(packages, said.append)
    assert uv() == ["pip compile", "venv --quiet", "pip install"]
    assert said[0] == "resolving the packages of --requires: six==1.16"
    assert said[1].startswith("making the environment of --requires with uv: ")
    assert said[2:] == [
        "uv: Resolved 1 package in 2ms",
        "uv: Installed 1 package in 1ms",
        "the environment is complete",
    ]
    (site,) = first.parents[1].glob("lib/*/site-packages")
    assert (site / "nbdag" / "environments.py").samefile(environments.__file__)
    assert locked(["six==1.16"], tmp_path) == packages
    assert environments.ensure(packages) == first == environments.python_of(packages)
    assert len(uv()) == 3

    other = environments.ensure(packages + "attrs==25.1\n", said.append)
    os.utime(other.parents[1] / "nbdag.json", (0, time.time() - environments.KEPT - 10))
    assert environments.prune(dry_run=True) == 1
    assert environments.prune() == 1
    assert first.exists() and not other.exists()


def test_an_environment_whose_making_was_interrupted_is_made_again(uv: Callable[[], list[str]]) -> None:
    made = environments.ensure("six==1.16\n", print)
    (made.parents[1] / "nbdag.json").unlink()
    (made.parents[1] / "half").touch()
    assert environments.ensure("six==1.16\n", print) == made
    assert not (made.parents[1] / "half").exists()


def test_an_environment_whose_python_was_removed_is_made_again(uv: Callable[[], list[str]]) -> None:
    made = environments.ensure("six==1.16\n", print)
    made.unlink()
    made.symlink_to("/removed/conda/bin/python")
    assert environments.ensure("six==1.16\n", print) == made
    assert made.exists()


def test_a_cache_that_cannot_be_written_is_an_error(
    uv: Callable[[], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NBDAG_CACHE", str(tmp_path / "file"))
    for act in (lambda: locked(["six"], tmp_path, print), lambda: environments.ensure("six==1.16\n", print)):
        with pytest.raises(EnvironmentFolderError, match=r"cannot be kept in .*not a directory; set NBDAG_CACHE"):
            act()


def test_lock_files_are_read_in_every_form(uv: Callable[[], list[str]], tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("# by hand\nsix==1.16 \\\n  --hash=sha256:00\n\nattrs==25.1  # why\n")
    marker = "marker = 'os_name == \"nt\"'"
    (tmp_path / "pylock.toml").write_text(f"[[packages]]\nname = 'idna'\nversion = '3.1'\n{marker}")
    lines = locked(["plain.txt", "pylock.toml"], tmp_path, print).splitlines()
    assert lines[:3] == ["six==1.16", "attrs==25.1", 'idna==3.1 ; os_name == "nt"']


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "%dag --requires r.txt: no such file in "),
        ("", "%dag --requires r.txt: the file names no package"),
        ("-e .", "the line '-e' names a file or an option; write the packages with versions"),
        ("--index-url https://u:p@host/", "set options such as an index in uv's own settings"),
        ("./here", "the line './here' names a file"),
    ],
)
def test_a_lock_file_that_cannot_be_used_is_an_error(
    uv: Callable[[], list[str]], tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "r.txt").write_text(content)
    with pytest.raises(RequirementsError) as caught:
        locked(["r.txt"], tmp_path, print)
    assert message in str(caught.value) and "u:p" not in str(caught.value)


def test_errors_of_uv_are_one_sentence(
    uv: Callable[[], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UvError) as caught:
        locked(["nosuch"], tmp_path, print)
    assert str(caught.value) == (
        "uv could not resolve the packages of %dag --requires: Because nosuch was not found in the package registry "
        "and you require nosuch, it fails"
    )
    monkeypatch.undo()
    monkeypatch.setenv("NBDAG_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(shutil, "which", lambda *args, **more: None)
    with pytest.raises(UvMissingError, match="python -m pip install uv"):
        locked(["six"], tmp_path, print)


def test_packages_that_the_live_kernel_has_in_another_version_are_named() -> None:
    assert environments.unlike_here(["click>=8", "nosuch ; python_version < '3'", "r.lock"]) == ""
    assert environments.unlike_here(["click==1.0", "nosuch"]) == (
        f"this kernel has click {version('click')}, no nosuch, but headless runs use click==1.0 nosuch; install the "
        "same packages here to get the same results"
    )


def test_the_code_of_dag_runs_in_the_environment(
    uv: Callable[[], list[str]], write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[object] = []

    def run_bodies(*steps: object, python: Path, **more: object) -> BuildResult:
        used.append(python)
        return BuildResult([[{"source": "%%task a\nx = 1", "line": 1}]], [], "")

    monkeypatch.setattr("nbdag.building.process.run_bodies", run_bodies)
    built = read_built(write("%%dag churn --requires six==1.16\nPython('a', 'x = 1')"))
    assert not built.dag.errors, built.dag.errors
    (python,) = used
    assert str(python).startswith(str(environments._root())) and uv().count("pip install") == 1


@pytest.mark.slow
def test_the_kernels_of_a_run_use_the_environment(
    write: Callable[..., Path],
    home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NBDAG_CACHE", str(tmp_path / "cache"))
    path = write(
        "%dag churn --requires six==1.15",
        "%%task a --out seen\nimport six, sys\nseen = [six.__version__, sys.prefix]\n"
        "(program,) = !python -c 'import sys; print(sys.prefix)'",
        "%%task b\nplace = [*seen, program]",
    )
    try:
        made = runs.run(path, home=home)
    except UvError as failure:
        if "registry" not in str(failure) and "fetch" not in str(failure):
            raise
        pytest.skip(f"no package index: {failure}")
    assert made.state is RunState.SUCCESS, [(each.id, each.error) for each in made]
    six, prefix = made.value("seen")
    assert six == "1.15.0" and prefix.startswith(str(tmp_path / "cache" / "environments"))
    assert made.value("program") == prefix
    assert "making the environment of --requires with uv" in capfd.readouterr().err
    path.write_text(path.read_text().replace("six==1.15", "nosuchpackagexyzzy"))
    with pytest.raises(NbdagError, match="uv could not resolve the packages of %dag --requires: "):
        runs.run(path, home=home)
