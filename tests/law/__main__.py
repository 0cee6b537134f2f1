"""Run many generated notebooks; print how many were equal, how many differed and said so, and each that did not say so.

    python -m tests.law 2000 [--seed 7]

A notebook that differs in silence is printed in the shortest form that still does. The exit code is 1 if there is one.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter

from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from .driver import judge, notebook, orders, plain, rightly_refused
from .notebooks import Cells
from .test_law import UNHURRIED, told
from .wide import IMPORTS, wide_notebooks

SHORTENED = 5  # notebooks that are shortened, which takes long; the generator makes variations of the later ones
ORDERS = 1  # random orders, beside the first and the last


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.law", description=__doc__.splitlines()[0])
    parser.add_argument("examples", type=int)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    words: Counter[str] = Counter()

    @seed(options.seed)
    @settings(UNHURRIED, max_examples=options.examples, phases=[Phase.generate], derandomize=False, database=None)
    @given(wide_notebooks(), st.integers(0, 1 << 32))
    def one(cells: Cells, number: int) -> None:
        try:
            word = verdict_of(cells, number)
        except Exception as error:
            word = f"{type(error).__name__}"
            print(f"\n==== {word}: {error}\n{told(cells)}", flush=True)
        words[word] += 1
        if word in ("silent", "false error"):
            shown = shortest(cells, number, word) if words[word] <= SHORTENED else cells
            print(f"\n==== {word}, as number {words.total()}\n{explain(shown, number)}", flush=True)
        elif words.total() % 50 == 0:
            print(dict(words), flush=True)

    one()
    print(f"{words.total()} notebooks: " + ", ".join(f"{count} {word}" for word, count in words.most_common()))
    return 1 if words["silent"] or words["false error"] else 0


def verdict_of(cells: Cells, number: int) -> str:
    """One word about a notebook: the worst of the orders."""
    dag = notebook(*cells)
    if dag.errors:
        return "not a notebook" if rightly_refused(dag) else "false error"
    expected = plain(dag)
    if plain(dag) != expected:
        return "by chance"
    found = set()
    with tempfile.TemporaryDirectory() as root:
        for at, order in enumerate(orders(dag, random.Random(number), ORDERS)):
            found.add(judge(dag, order, f"{root}/{at}", expected).word)
    return next(word for word in ("silent", "said", "refused", "equal") if word in found)


def shortest(cells: Cells, number: int, word: str) -> Cells:
    """The notebook without the cells and lines that do not matter."""
    smaller = True
    while smaller:
        smaller = False
        for each in _without_one(cells):
            try:
                same = verdict_of(each, number) == word
            except Exception:  # a plain run fails
                same = False
            if same:
                cells, smaller = each, True
                break
    return cells


def _without_one(cells: Cells) -> list[Cells]:
    """The notebooks that lack one cell, or one statement."""
    found = [cells[:at] + cells[at + 1 :] for at in range(len(cells)) if cells[at][1] != IMPORTS]
    for at, (kind, code) in enumerate(cells):
        statements = _statements(code) if code != IMPORTS else []
        if len(statements) > 1:
            for one in range(len(statements)):
                left = "\n".join(statements[:one] + statements[one + 1 :])
                found.append([*cells[:at], (kind, left), *cells[at + 1 :]])
    return found


def _statements(code: str) -> list[str]:
    import ast

    lines = code.splitlines()
    body = ast.parse(code).body
    starts = [min([each.lineno, *(d.lineno for d in getattr(each, "decorator_list", ()))]) - 1 for each in body]
    return ["\n".join(lines[start:end]) for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]


def explain(cells: Cells, number: int) -> str:
    """The notebook, and where its runs differ."""
    dag = notebook(*cells)
    lines = [told(cells)]
    if dag.errors:
        return "\n".join([*lines, *(f"  {each.code} {each.message}" for each in dag.errors)])
    expected = plain(dag)
    with tempfile.TemporaryDirectory() as root:
        for at, order in enumerate(orders(dag, random.Random(number), ORDERS)):
            verdict = judge(dag, order, f"{root}/{at}", expected)
            if verdict.silent:
                lines.append(f"  in the order {' '.join(order)}: {verdict.differing}; said: {verdict.said}")
                break
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
