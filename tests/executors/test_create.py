"""Executors are found by name, through entry points."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import nbdag.executors
import nbdag.executors.local
from nbdag.executors import (
    GROUP,
    Choice,
    ExecutorImportError,
    ExecutorOptionError,
    UnknownExecutorError,
    create,
    hosts,
    names,
)
from nbdag.testing import InProcessExecutor


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, EntryPoint]:
    """Entry points of other packages."""
    points: dict[str, EntryPoint] = {}
    monkeypatch.setattr(nbdag.executors, "_installed", lambda: points)
    return points


def test_the_local_executor_is_registered_where_others_are() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    registered = project["project"]["entry-points"][GROUP]
    assert {
        name: point.value.removesuffix(" [dask]") for name, point in nbdag.executors._BUILT_IN.items()
    } == registered


def test_create_passes_slots_and_options(runtime: Path) -> None:
    executor = create(Choice("local", {"heartbeat": 0.5}), 3)
    try:
        assert isinstance(executor, nbdag.executors.local.LocalExecutor)
        assert (executor.slots, executor._heartbeat) == (3, 0.5)
    finally:
        executor.stop()


def test_an_executor_of_another_package_is_created_by_its_name(installed: dict[str, EntryPoint]) -> None:
    installed["fake"] = EntryPoint("fake", "nbdag.testing.in_process:InProcessExecutor", GROUP)
    executor = create("fake", 2)
    assert isinstance(executor, InProcessExecutor) and executor.slots == 2
    assert names() == ("dask", "fake", "local")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("locl", "unknown executor 'locl'; did you mean 'local'? expected one of cluster, dask, local"),
        ("xyz", "unknown executor 'xyz'; expected one of cluster, dask, local"),
    ],
)
def test_an_unknown_name_is_an_error_with_the_known_ones(
    installed: dict[str, EntryPoint], name: str, message: str
) -> None:
    installed["cluster"] = EntryPoint("cluster", "nbdag_cluster:Dask", GROUP)
    with pytest.raises(UnknownExecutorError) as raised:
        create(name, 1)
    assert (str(raised.value), raised.value.exit_code) == (message, 2)


@pytest.mark.parametrize(
    ("value", "package"),
    [
        ("no_such_package.executors:Dask", "no_such_package"),
        ("no_such_package.executors:Dask [dask]", "no_such_package[dask]"),
        ("needs_another:Dask", "another_missing_one"),
    ],
)
def test_an_executor_that_cannot_be_imported_names_the_package_to_install(
    installed: dict[str, EntryPoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, package: str
) -> None:
    (tmp_path / "needs_another.py").write_text("import another_missing_one.part")
    monkeypatch.syspath_prepend(str(tmp_path))
    installed["cluster"] = EntryPoint("cluster", value, GROUP)
    with pytest.raises(ExecutorImportError) as raised:
        create("cluster", 1)
    missing = "another_missing_one" if "another" in value else "no_such_package"
    assert str(raised.value) == (
        f"cannot import executor 'cluster' (No module named '{missing}'); install its package: "
        f"python -m pip install '{package}'"
    )


def test_the_hosts_of_an_executor_without_its_package_or_with_another_option_are_an_error(
    installed: dict[str, EntryPoint],
) -> None:
    installed["cluster"] = EntryPoint("cluster", "no_such_package.executors:Dask [dask]", GROUP)
    for name, expected in (("cluster", ExecutorImportError), ("local", ExecutorOptionError)):
        with pytest.raises(expected):
            hosts(Choice(name, {"address": "tcp://host:8786"}))
