"""The law as a property: whatever the notebook, and in whatever order its tasks may run."""

from __future__ import annotations

import os
import random
import tempfile

import pytest
from hypothesis import HealthCheck, Phase, assume, event, given, note, reject, settings
from hypothesis import strategies as st

from nbdag.values import UnstorableError

from .driver import headless, judge, notebook, orders, plain, rightly_refused, wrong
from .notebooks import Cells, notebooks
from .wide import wide_notebooks

EXAMPLES = 15  # notebooks of a run of all tests
# Notebooks of the slow tests; thousands find rarer differences (`python -m tests.law`).
MORE_EXAMPLES = int(os.environ.get("NBDAG_LAW_EXAMPLES", "40"))
# To shrink a counterexample takes many minutes; NBDAG_LAW_SHRINK=1 does it.
SHRINK = (Phase.shrink,) if os.environ.get("NBDAG_LAW_SHRINK") == "1" else ()
UNHURRIED = settings(
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.target, *SHRINK),
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ],
    derandomize="NBDAG_LAW_EXAMPLES" not in os.environ,  # the same notebooks each time
)


@settings(UNHURRIED, max_examples=EXAMPLES)
@given(notebooks(), st.randoms(use_true_random=False))
def test_every_task_sees_what_a_run_from_top_to_bottom_leaves(cells: Cells, chance: random.Random) -> None:
    dag = notebook(*cells)
    note(told(cells))
    assume(not rightly_refused(dag))
    assert not dag.errors, dag.errors
    event(f"{len(dag.edges)} edges")
    expected = plain(dag)
    with tempfile.TemporaryDirectory() as root:
        for number, order in enumerate(orders(dag, chance, 1)):
            try:
                found = headless(dag, order, f"{root}/{number}")
            except UnstorableError:
                reject()  # such as a generator: said by name, and not a matter of values
            assert not wrong(found, expected), f"in the order {order}"


@settings(UNHURRIED, max_examples=EXAMPLES // 2)
@given(wide_notebooks(), st.randoms(use_true_random=False))
def test_differences_from_a_top_to_bottom_run_are_reported(cells: Cells, chance: random.Random) -> None:
    dag = notebook(*cells)
    note(told(cells))
    assume(not rightly_refused(dag))
    assert not dag.errors, dag.errors
    expected = plain(dag)
    assume(plain(dag) == expected)  # false where numbers are drawn without a seed
    with tempfile.TemporaryDirectory() as root:
        for number, order in enumerate(orders(dag, chance, 1)):
            verdict = judge(dag, order, f"{root}/{number}", expected)
            event(verdict.word)
            assert not verdict.silent, (order, verdict)


@pytest.mark.slow
@settings(UNHURRIED, max_examples=MORE_EXAMPLES)
@given(notebooks(), st.randoms(use_true_random=False))
def test_every_task_of_more_notebooks_sees_what_a_run_from_top_to_bottom_leaves(
    cells: Cells, chance: random.Random
) -> None:
    test_every_task_sees_what_a_run_from_top_to_bottom_leaves.hypothesis.inner_test(cells, chance)


@pytest.mark.slow
@settings(UNHURRIED, max_examples=max(MORE_EXAMPLES // 5, 1))
@given(wide_notebooks(), st.randoms(use_true_random=False))
def test_differences_in_further_notebooks_are_reported(cells: Cells, chance: random.Random) -> None:
    test_differences_from_a_top_to_bottom_run_are_reported.hypothesis.inner_test(cells, chance)


def told(cells: Cells) -> str:
    """A notebook as one reads it."""
    return "\n".join(f"# --- {kind}\n{code}" for kind, code in cells)
