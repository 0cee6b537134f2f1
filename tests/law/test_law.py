"""The law as a property: whatever the notebook, and in whatever order its tasks may run."""

from __future__ import annotations

import os
import random
import tempfile

from hypothesis import HealthCheck, Phase, assume, event, given, note, reject, settings
from hypothesis import strategies as st

from nbdag.values import UnstorableError

from .driver import headless, notebook, orders, plain, rightly_refused, wrong
from .notebooks import Cells, notebooks

EXAMPLES = int(os.environ.get("NBDAG_LAW_EXAMPLES", "40"))  # `.ci/run` asks for more; thousands find rarer ones
# To shrink a counterexample takes many minutes; NBDAG_LAW_SHRINK=1 does it.
SHRINK = (Phase.shrink,) if os.environ.get("NBDAG_LAW_SHRINK") == "1" else ()


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.target, *SHRINK),
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ],
    derandomize=EXAMPLES <= 150,  # the same notebooks each time,
)
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


def told(cells: Cells) -> str:
    """A notebook as one reads it."""
    return "\n".join(f"# --- {kind}\n{code}" for kind, code in cells)
