"""The state of a module is known without its import."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from nbdag.scheduler.module_fingerprints import fingerprints


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes local modules, given by name and source."""

    def write(sources: Mapping[str, str] = {}, **more: str) -> Path:
        for name, source in {**sources, **more}.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        return tmp_path

    return write


def test_the_standard_library_has_no_state_and_a_missing_module_has_one(write: Callable[..., Path]) -> None:
    folder = write()
    assert fingerprints(["os", "sys", "json"], folder) == {}
    missing = fingerprints(["nowhere"], folder)
    assert missing == {"nowhere": "is not there"}
    write(nowhere="1")
    assert fingerprints(["nowhere"], folder) != missing


def test_an_installed_modules_state_is_its_place_and_time(write: Callable[..., Path]) -> None:
    import numpy

    state = fingerprints(["numpy"], write())["numpy"]
    assert state.startswith(numpy.__file__)
    assert str(Path(numpy.__file__).stat().st_mtime_ns) in state


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"tools/deep/leaf": "X = 2"}, True),
        ({"tools/other": "X = 3"}, True),  # a package may import any module in it
        ({"helper": "Y = 2"}, True),  # a package imports it, in a function
        ({"unrelated": "Z = 2"}, False),
        ({"tools/.hidden/x": "1"}, False),
        ({"tools/deep/leaf": "X = 1"}, False),  # rewritten with equal content
    ],
)
def test_a_local_modules_state_includes_its_imports(
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
    before = fingerprints(["tools", "broken"], folder)
    assert set(before) == {"tools", "helper", "broken"}
    write(change)
    assert (fingerprints(["tools", "broken"], folder) != before) is differs


def test_a_local_module_shadows_an_installed_one(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = write(numpy="X = 1")
    elsewhere = tmp_path / "elsewhere"
    own = fingerprints(["numpy"], folder)
    assert own != fingerprints(["numpy"], elsewhere)
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}/nowhere")
    assert fingerprints(["numpy"], elsewhere) == own


def test_fingerprinting_imports_nothing(write: Callable[..., Path]) -> None:
    folder = write(loud="raise RuntimeError")
    assert fingerprints(["loud"], folder)
    assert "loud" not in sys.modules
