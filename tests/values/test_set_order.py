"""A set that was stored iterates in the same order after loading."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

import nbdag
from nbdag import runs
from nbdag.home import Home
from nbdag.values import ValueStore

CHANCE = random.Random(1)


def words(count: int) -> Iterator[str]:
    return ("".join(CHANCE.choices("abcdefgh", k=5)) for _ in range(count))


def without_some(elements: set[str]) -> set[str]:
    for each in list(elements)[::3]:
        elements.discard(each)
    return elements


MADE: dict[str, Callable[[int], set[Any]]] = {
    "one by one": lambda count: set(words(count)),
    "at once": lambda count: set(dict.fromkeys(words(count))),
    "with removals": lambda count: without_some(set(words(count))),
    "a union": lambda count: set(words(count)) | set(words(count)),
    "a difference": lambda count: set(words(count)) - set(words(count)),
    "a copy": lambda count: set(words(count)).copy(),
    "numbers": lambda count: {CHANCE.randrange(-(10**6), 10**20) for _ in range(count)},
    "numbers and texts": lambda count: {*words(count), *range(count), 0.5, b"x", True},
}


@pytest.mark.parametrize("name", MADE)
def test_the_order_of_a_set_is_restored_or_reported(name: str, tmp_path: Path) -> None:
    store = ValueStore(str(tmp_path))
    reported = 0
    counts = [*range(2, 40), 60, 100, 300]
    for count in counts:
        made = MADE[name](count)
        saved = store.save({"x": {"inside": [made]}})
        loaded = store.load(saved.outputs[0].digest)["x"]["inside"][0]
        assert loaded == made
        if saved.reordered:
            reported += 1
        else:
            assert list(loaded) == list(made)
    assert reported < len(counts) / 2  # how many depends on the seed of this process's hashes


def test_a_set_that_two_names_hold_stays_one_object(tmp_path: Path) -> None:
    store = ValueStore(str(tmp_path))
    one = {str(n) for n in range(200)}
    saved = store.save({"one": one, "other": [one]}, [("one", "other")])
    loaded = store.load(saved.outputs[0].digest)
    assert loaded["one"] is loaded["other"][0]
    assert list(loaded["one"]) == list(one)


def test_a_set_without_a_found_order_is_reported(tmp_path: Path) -> None:
    store = ValueStore(str(tmp_path))
    assert store.save({"x": {str(n) for n in range(20_000)}}).reordered == ("x",)
    assert store.save({"x": {object() for n in range(20)}}).reordered == ()  # their hashes are their addresses


def test_new_kernels_have_the_same_hashes_of_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)  # Dask sets it in the process that starts a cluster
    sources = [
        "%%task a\none = hash('text')",
        "%%task b\nimport os\nassert one == hash('text')\nassert 'PYTHONHASHSEED' not in os.environ",
    ]
    path = tmp_path / "hashes.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in sources]), path)
    run = nbdag.run(path, kernels="fresh", home=Home(tmp_path / ".nbdag"))
    assert run.state == "success", [runs.logs(run, task.id).read_text() for task in run]
