"""The pytest plugin. pytest imports this module at every start, so it imports only pytest and the standard library.

pytest --nbdag notebooks/                    check every notebook with tasks, text notebooks too
pytest --nbdag notebooks/ -m nbdag_task      run the notebooks, with an item for each task

def test_train(task):
    done = task("notebooks/churn.ipynb", "train", inputs={"df": small})
    assert done["accuracy"] > 0.8

def test_churn(nbdag_run):
    assert nbdag_run("notebooks/churn.ipynb", parameters={"alpha": 0.5}).value("accuracy") > 0.8

def test_report(task, nbdag_snapshot):
    nbdag_snapshot(task("notebooks/churn.ipynb", "report", inputs={"model": None}))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from .marks import MARK

if TYPE_CHECKING:
    import os

    from ..runs import Run
    from .task import TaskResult


class TaskRunner(Protocol):
    """The fixture `task`."""

    def __call__(
        self,
        notebook: str | os.PathLike[str],
        task: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> TaskResult:
        """Run one task; see `nbdag.testing.run_task`."""
        ...


_DESELECTED: pytest.StashKey[int] = pytest.StashKey()  # number of deselected tasks


class NotebookRunner(Protocol):
    """The fixture `nbdag_run`."""

    def __call__(self, notebook: str | os.PathLike[str], *, check: bool = True, **options: Any) -> Run:
        """Run a notebook; see `nbdag.run` for the options. With `check`, a failed run fails the test."""
        ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of nbdag."""
    group = parser.getgroup("nbdag", "tests of notebooks")
    group.addoption("--nbdag", action="store_true", help="Collect notebooks: check each that has tasks.")
    group.addoption("--nbdag-update", action="store_true", help="Overwrite the snapshots of nbdag_snapshot.")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers", f"{MARK}: a task of a notebook, which pytest --nbdag runs only if -m names this marker"
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Any:
    """If --nbdag is given, collect a notebook."""
    if not parent.config.getoption("--nbdag") or _is_module(file_path, parent):
        return None  # `pytest_pycollect_makemodule` decides about the files that pytest imports
    return _collected(file_path, parent)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> Any:
    """Collect a text notebook named on the command line; otherwise pytest would import it as a module of tests."""
    if not parent.config.getoption("--nbdag") or _has_tests(module_path, parent):
        return None
    return _collected(module_path, parent)


def _collected(path: Path, parent: pytest.Collector) -> Any:
    """Return the collector of a notebook, or None if the file is no notebook or is a text notebook without tasks."""
    if any(part.startswith(".") for part in path.relative_to(_root(parent.config, path)).parts):
        return None  # a checkpoint of Jupyter, or a file of nbdag
    if path.suffix != ".ipynb":
        from ..notebooks import has_tasks, is_text

        if not is_text(path) or not has_tasks(path):
            return None
        if path.suffix != ".py" and not parent.session.isinitpath(path) and not path.read_bytes().startswith(b"---"):
            return None  # a Markdown page with cells as examples; a text notebook of jupytext begins with metadata
    from .items import NotebookFile

    return NotebookFile.from_parent(parent, path=path)


def _is_module(path: Path, parent: pytest.Collector) -> bool:
    """Return whether pytest itself would import this file: it may contain tests, or the command line names it."""
    return path.suffix == ".py" and (_has_tests(path, parent) or parent.session.isinitpath(path))


def _has_tests(path: Path, parent: pytest.Collector) -> bool:
    patterns = (*parent.config.getini("python_files"), "__init__.py", "conftest.py")
    return any(path.match(each) for each in patterns)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tasks of notebooks if -m does not name their marker: whole notebooks run only on request."""
    if not config.getoption("--nbdag") or MARK in (config.getoption("markexpr", "") or ""):
        return
    tasks = [item for item in items if item.get_closest_marker(MARK) is not None]
    if tasks:
        config.hook.pytest_deselected(items=tasks)
        config.stash[_DESELECTED] = len(tasks)
        items[:] = [item for item in items if item.get_closest_marker(MARK) is None]


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """Return a line about the tasks that are deselected."""
    count = config.stash.get(_DESELECTED, 0)
    return [f"nbdag: the notebooks are checked, but not run; -m {MARK} runs their tasks ({count})"] if count else []


@pytest.fixture
def task(request: pytest.FixtureRequest) -> TaskRunner:
    """Run one task's cell in this process, with the given inputs, and return its outputs and displays."""
    from .task import run_task

    base = request.path.parent

    def run(
        notebook: str | os.PathLike[str],
        task: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> TaskResult:
        __tracebackhide__ = True
        path = _found(notebook, base, request.config)
        return run_task(path, task, inputs=inputs, parameters=parameters)

    return run


@pytest.fixture
def nbdag_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NotebookRunner:
    """Run a whole notebook headlessly, in a home of its own, and return the run."""
    from .notebook_run import run_notebook

    base = request.path.parent
    home = tmp_path_factory.mktemp("nbdag") / ".nbdag"

    def run(notebook: str | os.PathLike[str], *, check: bool = True, **options: Any) -> Run:
        __tracebackhide__ = True
        return run_notebook(_found(notebook, base, request.config), home=home, check=check, **options)

    return run


@pytest.fixture
def nbdag_snapshot(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Compare a value with its snapshot, which `pytest --nbdag-update` has written."""
    from .snapshots import Snapshots

    folder = request.path.parent / "__snapshots__" / request.path.stem
    # including the class, because two classes may have tests with the same name
    test = request.node.nodeid.partition("::")[2].replace("::", ".")
    return Snapshots(folder, test, update=bool(request.config.getoption("--nbdag-update"))).check


def _found(notebook: str | os.PathLike[str], base: Path, config: pytest.Config) -> Path:
    """Return the path of a notebook, which is relative to the test's folder, pytest's root or the working directory."""
    for folder in (base, config.rootpath, config.invocation_params.dir):
        if (folder / notebook).exists():
            return folder / notebook
    return Path(notebook)


def _root(config: pytest.Config, path: Path) -> Path:
    return config.rootpath if path.is_relative_to(config.rootpath) else path.parent
