"""Branches, short circuits and trigger rules in the live notebook, in a real kernel."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from kernel import Kernel


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A kernel in which a test begins with an empty session."""
    folder = tmp_path_factory.mktemp("kernel")
    env = {**os.environ, "IPYTHONDIR": str(folder / "ipython"), "NBDAG_HOME": str(folder / ".nbdag")}
    env.pop("JPY_SESSION_NAME", None)
    kernel = Kernel(cwd=str(folder), env=env)
    try:
        yield kernel
    finally:
        kernel.stop()


@pytest.fixture
def kernel(live):
    live.run("%reload_ext nbdag")
    return live


def run(kernel, *cells):
    """Run cells of one notebook; return what each prints."""
    return [kernel.run(cell, cell=f"id{n}").stdout for n, cell in enumerate(cells)]


GATE = (
    "accuracy, best = {}, 0.8",
    "%%task choose --branch\n'ship' if accuracy > best else 'keep'",
    "%%task ship --after choose\nprint('ship')\nsaid = 'shipped'",
    "%%task keep --after choose\nprint('keep')\nsaid = 'kept'",
    "%%task notify --after ship keep --trigger none_failed_min_one_success\nprint(said)",
    "%%task strict --after ship\nprint('strict')",
)


def test_only_the_tasks_that_a_branch_chose_run(kernel):
    cells = [GATE[0].format(0.9), *GATE[1:]]
    assert run(kernel, *cells) == [
        "",
        "choose chose ship; no cell here is named ship so far\n",
        "ship\n",
        "skipped: choose chose ship\n",
        "shipped\n",
        "strict\n",
    ]
    # The branch decides anew, and what was not chosen is marked at once.
    again = [GATE[0].format(0.5), GATE[1]]
    assert run(kernel, *again)[1] == "choose chose keep; skipped: ship\n"
    look = (
        "for name, mark in get_ipython()._nbdag.session.dag_and_marks()[1].items():\n    print(name, str(mark.state))"
    )
    assert kernel.run(look).stdout.split("\n") == [
        "choose success", "ship skipped", "keep stale", "notify stale", "strict skipped", "",
    ]  # fmt: skip
    assert run(kernel, *again, *GATE[2:])[2:] == [
        "skipped: choose chose keep\n",
        "keep\n",
        "kept\n",
        "skipped: ship was skipped\n",
    ]


def test_a_false_last_expression_skips_what_is_below_until_it_is_true(kernel):
    cells = [
        "%%task new --short-circuit\nrows = []\nrows",
        "%%task load --trigger all_done\nprint(rows)\nloaded = 1",
        "%%task z\nloaded",
    ]
    assert run(kernel, *cells) == [
        "new is false: every task downstream is skipped\n",
        "skipped: new is false with --short-circuit\n",
        "skipped: new is false with --short-circuit\n",
    ]
    assert run(kernel, cells[0].replace("[]", "[1]"), *cells[1:]) == ["", "[1]\n", ""]


def test_a_branch_that_names_no_task_below_fails_in_one_sentence(kernel):
    run(kernel, "x = 1", "%%task choose --branch\n'a'", "%%task a --after choose\n1", "%%task b\n2")
    reply = kernel.run("%%task choose --branch\n'b'", cell="id1")
    assert reply.traceback.strip() == "Fail: choose chose 'b', which does not follow it directly; did you mean a?" or (
        "does not follow it directly" in reply.traceback
    )
    assert "branch choose is 3; expected the name" in kernel.run("%%task choose --branch\n3", cell="id1").traceback


def test_a_mapped_branch_chooses_with_all_its_elements(kernel):
    said = run(
        kernel,
        "names = ['a', 'c']",
        "%%task choose --branch --map name=names\nname",
        "%%task a --after choose\nprint('a')",
        "%%task b --after choose\nprint('b')",
        "%%task c --after choose\nprint('c')",
    )
    assert said[1].startswith("choose chose a, c")
    assert said[2:] == ["a\n", "skipped: choose chose a, c\n", "c\n"]
