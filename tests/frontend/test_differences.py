"""The difference between two notebooks: which cells are the same, and what changed in them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbdag import notebooks
from nbdag.frontend.compare.notebooks import NotebookCell, difference, lines_of, paired


def book(cells: Sequence[tuple[str, str]]) -> bytes:
    return json.dumps(
        {
            "cells": [
                {
                    "cell_type": "code",
                    "id": id,
                    "metadata": {},
                    "source": source,
                    "execution_count": None,
                    "outputs": [],
                }
                for id, source in cells
            ],
            "metadata": {},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
    ).encode()


def found(old: Sequence[tuple[str, str]], new: Sequence[tuple[str, str]]):
    texts = book(old), book(new)
    return difference(*texts, *(notebooks.read_text(text, name="n.ipynb") for text in texts))


A, B, C = ("a", "%%task a\nx = 1"), ("b", "%%task b\ny = x"), ("c", "%%task c\nz = y")


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        ([A, B], [A, B], ["same", "same"]),
        ([A, B], [A, ("b", "%%task b\ny = x + 1")], ["same", "changed"]),
        ([A, B], [A, ("new", "%%task b\ny = x + 1")], ["same", "changed"]),
        ([A, B], [A, ("new", "print('something else')")], ["same", "removed", "added"]),
        ([A, B, C], [A, C], ["same", "removed", "same"]),
        ([A, B, C], [B, C], ["removed", "same", "same"]),
        ([A, B, C], [A, B], ["same", "same", "removed"]),
        ([A, C], [A, B, C], ["same", "added", "same"]),
        ([A, B, C], [C, A, B], ["moved", "same", "same"]),
        ([("", "x = 1"), ("", "x = 1")], [("", "x = 1"), ("", "x = 1")], ["same", "same"]),
        ([], [A], ["added"]),
        ([A], [], ["removed"]),
    ],
)
def test_cells_are_paired(old, new, kinds):
    assert [each["kind"] for each in found(old, new)["cells"]] == kinds


def test_changed_tasks_are_named_with_what_changed():
    old = [A, B, C]
    new = [("a", "%%task a --retries 2\nx = 1"), ("b", "%%task b\ny = x + 1"), ("d", "%%task d\nw = y")]
    assert found(old, new)["tasks"] == [
        {"task": "c", "kind": "removed", "changed": []},
        {"task": "a", "kind": "changed", "changed": ["options"]},
        {"task": "b", "kind": "changed", "changed": ["code"]},
        {"task": "d", "kind": "added", "changed": []},
    ]


def test_lines_are_signed():
    assert [(each["sign"], each["text"]) for each in lines_of("a\nb\nc", "a\nB\nc\nd")] == [
        (" ", "a"),
        ("-", "b"),
        ("+", "B"),
        (" ", "c"),
        ("+", "d"),
    ]


texts = st.lists(st.sampled_from(["a = 1", "b = 2", "c = 3\nprint(c)", "c = 3\nprint(c, 4)", ""]), max_size=6)
ids = st.lists(st.sampled_from(["", "1", "2", "3"]), min_size=6, max_size=6)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(texts, texts, ids, ids)
def test_both_notebooks_can_be_read_back(old, new, ids_old, ids_new):
    one, other = list(zip(ids_old, old, strict=False)), list(zip(ids_new, new, strict=False))
    cells = found(one, other)["cells"]
    for side, wanted, signs in (("before", old, " -"), ("after", new, " +")):
        shown = {
            each[side]: "\n".join(line["text"] for line in each["lines"] if line["sign"] in signs)
            for each in cells
            if each[side] is not None
        }
        assert [shown[n] for n in range(len(wanted))] == wanted


def test_cells_whose_every_line_changed_a_little_are_paired():
    old = [NotebookCell(id="", type="code", source=f"value_{n} = {n}\n" * 20) for n in range(100)]
    new = [NotebookCell(id="", type="code", source=f"other_{n} = {n}\n" * 20) for n in range(100)]
    assert paired(old, new) == {n: n for n in range(100)}
