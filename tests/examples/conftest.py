"""Copies of the examples, and their runs, once for all tests of a session."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest
from example_results import NOTEBOOKS, PARAMETERS, RESULTS, Finished, RunExample, headlessly, plainly
from preloading import shared_modules, with_shared_modules
from warm import WarmCommands

from nbdag.home import Home


@contextlib.contextmanager
def copy_of_the_examples(root: Path) -> Iterator[Path]:
    """Copy the examples into a new folder in `root`; make it the working directory, and `root/home` the home."""
    copy = root / "notebooks"
    copy.mkdir()
    for path in NOTEBOOKS.glob("*.ipynb"):
        nbformat.write(with_shared_modules(nbformat.read(path, as_version=4)), copy / path.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(copy)
        patch.setenv("NBDAG_HOME", str(root / "home"))
        patch.setenv("OPENBLAS_NUM_THREADS", "1")  # on small matrices the threads only wait for each other
        yield copy


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Yield a new folder with a copy of the examples, as the working directory."""
    with copy_of_the_examples(tmp_path) as copy:
        yield copy


@pytest.fixture(scope="session")
def run_example(runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> RunExample:
    """Return a function that runs an example in each way once for all tests."""
    finished: dict[str, Finished] = {}

    def run(name: str, headless: bool, parameters: Mapping[str, Any] | None = None) -> Finished:
        chosen = PARAMETERS.get(name, {}) if parameters is None else parameters
        key = json.dumps([name, headless, chosen])
        if key not in finished:
            root = tmp_path_factory.mktemp(name)
            with copy_of_the_examples(root) as copy:
                path = copy / f"{name}.ipynb"
                results = headlessly(path, RESULTS[name], chosen) if headless else plainly(path, RESULTS[name])
            assert set(results) == set(RESULTS[name])
            finished[key] = Finished(copy, Home(root / "home"), results)
        return finished[key]

    return run


@pytest.fixture(scope="session")
def scripts() -> Iterator[WarmCommands]:
    """Yield the process that runs `script.py` of a folder as a fork which has imported the libraries of the examples."""
    modules = dict.fromkeys(each.partition(":")[0] for each in shared_modules())
    with contextlib.closing(WarmCommands("script", [*modules], further={"OPENBLAS_NUM_THREADS": "1"})) as commands:
        yield commands
