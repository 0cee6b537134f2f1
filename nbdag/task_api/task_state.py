"""`nbdag.state`: small facts that a task keeps for its next try, or for its next run.

    cursor = nbdag.state.get("cursor", 0)      # as the last try of this task in this run left it
    nbdag.state["cursor"] = cursor + 100       # stored at once, so that even a killed try leaves it
    nbdag.state.across_runs["seen"] = newest   # the next run of this pipeline finds it

Values are JSON: numbers, texts, lists, dicts, true, false and null. Store a large value in a file, and keep the file's
path here. Each instance of a mapped task has separate facts. When `nbdag gc` deletes a run, it also deletes the run's
facts, but not the facts in `across_runs`. If two runs write the same fact at once, the later write wins. In a live
notebook the facts last as long as the kernel, and all cells share them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from .. import secrets
from ..errors import NbdagError, error
from ..writing import write_atomically

MAX_BYTES = 1_000_000  # maximum size of all facts of a task


@error
class StateError(NbdagError):
    """A fact cannot be kept."""

    name: str
    problem: str
    template = "nbdag.state cannot keep {name!r}: {problem}"


class Facts(MutableMapping[str, Any]):
    """The facts that are stored in one file, or only in memory if there is no file."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._facts: dict[str, Any] | None = None if path is not None else {}

    def __getitem__(self, name: str) -> Any:
        return self._loaded()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._store(name, {**self._loaded(), name: value})

    def __delitem__(self, name: str) -> None:
        facts = dict(self._loaded())
        del facts[name]
        self._store(name, facts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded())

    def __len__(self) -> int:
        return len(self._loaded())

    def __repr__(self) -> str:
        return f"<nbdag.state {self._loaded()!r}>"

    def _loaded(self) -> dict[str, Any]:
        if self._facts is None:
            assert self._path is not None
            try:
                self._facts = json.loads(self._path.read_text(encoding="utf-8"))
            except FileNotFoundError:
                self._facts = {}
        return self._facts

    def _store(self, name: str, facts: dict[str, Any]) -> None:
        if not isinstance(name, str):
            raise StateError(str(name), "its name is not a text; use names such as 'cursor'")
        try:
            text = json.dumps(facts, allow_nan=False, ensure_ascii=False)
        except (TypeError, ValueError) as why:
            raise StateError(name, f"{why}; use numbers, texts, lists and dicts, or keep a file's path") from None
        if len(text.encode()) > MAX_BYTES:
            raise StateError(name, f"more than {MAX_BYTES // 1_000_000} MB; write a file and keep its path")
        if secrets.mask(text) != text:
            raise StateError(name, "it holds a secret; keep the secret's name, and look it up with nbdag.secret")
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, text.encode())
        self._facts = json.loads(text)


class TaskState(Facts):
    """The facts that a task keeps for later tries in the same run; `across_runs` has the facts for later runs."""

    def __init__(self, path: Path | None = None, across_runs: Path | None = None) -> None:
        super().__init__(path)
        self.across_runs = Facts(across_runs)

    def begin(self, path: Path, across_runs: Path) -> None:
        """Use these files from now on."""
        self.__init__(path, across_runs)  # type: ignore[misc]  # `nbdag.state` is imported by name, so it stays one object


state = TaskState()
