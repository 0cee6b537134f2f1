"""A notebook's namespace, in this process: cells run in it as in a kernel."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from patience import LONG

from nbdag.values import ValueStore


class Notebook:
    """A namespace whose code is that of `__main__`, as a kernel's is."""

    def __init__(self, store: ValueStore, *cells: str) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.store = store
        for cell in cells:
            self.run(cell)

    def run(self, source: str) -> None:
        exec(compile(textwrap.dedent(source), "<cell>", "exec", dont_inherit=True), self.names)

    def save(self, *names: str) -> str:
        """Store names together; the digest."""
        values = {name: self.names[name] for name in names}
        return self.store.save(values, [names], namespace=self.names).outputs[0].digest

    def load(self, digest: str) -> None:
        self.names.update(self.store.load(digest, namespace=self.names))


@pytest.fixture
def store(tmp_path: Path) -> ValueStore:
    return ValueStore(str(tmp_path / "values"))


@pytest.fixture
def notebook(store: ValueStore) -> Callable[..., Notebook]:
    return lambda *cells: Notebook(store, *cells)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Callable[[str], str]:
    """Run code in a process of its own; what it printed."""

    def run(code: str) -> str:
        file = tmp_path / "elsewhere.py"
        file.write_text(textwrap.dedent(code), encoding="utf-8")
        done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=LONG, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
