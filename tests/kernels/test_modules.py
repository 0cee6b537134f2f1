"""Whether a module is what it was, told without importing it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from nbdag.scheduler.module_fingerprints import states


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Modules of the user's, by name and source."""

    def write(sources: Mapping[str, str] = {}, **more: str) -> Path:
        for name, source in {**sources, **more}.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        return tmp_path

    return write


def test_the_standard_library_counts_for_nothing_and_what_is_not_there_may_come(write: Callable[..., Path]) -> None:
    folder = write()
    assert states(["os", "sys", "json"], folder) == {}
    missing = states(["nowhere"], folder)
    assert missing == {"nowhere": "is not there"}
    write(nowhere="1")
    assert states(["nowhere"], folder) != missing


def test_of_an_installed_module_it_counts_where_and_when_it_was_installed(write: Callable[..., Path]) -> None:
    import numpy

    state = states(["numpy"], write())["numpy"]
    assert state.startswith(numpy.__file__)
    assert str(Path(numpy.__file__).stat().st_mtime_ns) in state


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"tools/deep/leaf": "X = 2"}, True),
        ({"tools/other": "X = 3"}, True),  # whatever lies in a package may be imported by it
        ({"helper": "Y = 2"}, True),  # a package imports it, in a function
        ({"unrelated": "Z = 2"}, False),
        ({"tools/.hidden/x": "1"}, False),
        ({"tools/deep/leaf": "X = 1"}, False),  # written anew, with the same content
    ],
)
def test_of_the_users_own_all_that_they_bring_along(
    write: Callable[..., Path], change: dict[str, str], differs: bool
) -> None:
    folder = write(
        {
            "tools/__init__": "from .deep import leaf",
            "tools/deep/__init__": "def f():\n    import helper",
            "tools/deep/leaf": "X = 1",
            "helper": "Y = 1",
            "unrelated": "Z = 1",
            "broken": "this is not Python",
        }
    )
    before = states(["tools", "broken"], folder)
    assert set(before) == {"tools", "helper", "broken"}
    write(change)
    assert (states(["tools", "broken"], folder) != before) is differs


def test_a_module_of_the_users_hides_an_installed_one_of_its_name(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = write(numpy="X = 1")
    elsewhere = tmp_path / "elsewhere"
    own = states(["numpy"], folder)
    assert own != states(["numpy"], elsewhere)
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}/nowhere")
    assert states(["numpy"], elsewhere) == own


def test_nothing_is_imported(write: Callable[..., Path]) -> None:
    folder = write(loud="raise RuntimeError")
    assert states(["loud"], folder)
    assert "loud" not in sys.modules
