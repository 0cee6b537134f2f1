"""Values of a run in a program: its functions and classes leave the program's own names alone."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from patience import LONG

import nbdag
from nbdag import runs
from nbdag.home import Home

pytestmark = pytest.mark.usefixtures("in_process")
Write = Callable[..., Path]


def program(source: str, home: Home) -> str:
    """Run a program whose `run` is the latest run, and return what it prints."""
    code = (
        "import nbdag\nfrom nbdag import runs\nfrom nbdag.home import Home\nfrom pathlib import Path\n"
        f"home = Home(Path({str(home.root)!r}))\nrun = runs.find_run(home=home)\n{textwrap.dedent(source)}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LONG, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_a_function_of_a_run_uses_the_names_of_the_run(write: Write, home: Home) -> None:
    nbdag.run(write("%%task a --out scale\nfactor = 2\ndef scale(x):\n    return x * factor\n"), home=home)
    printed = program(
        """
        factor = 100
        before = set(globals())
        print(run.value("scale")(10), nbdag.load(run.dag, task="a", home=home)["scale"](10))
        print(set(globals()) - before - {"before"}, factor)
        """,
        home,
    )
    assert printed == "20 20\nset() 100"


@pytest.mark.slow
def test_objects_of_one_task_have_one_class(write: Write, home: Home) -> None:
    nbdag.run(write("%%task a --out one two C\nclass C:\n    pass\none = C()\ntwo = C()\n"), home=home)
    printed = program(
        """
        class C: pass
        one, two = run.value("one"), run.value("two")
        print(type(one) is type(two) is run.value("C"), type(one) is C)
        """,
        home,
    )
    assert printed == "True False"


def test_a_failed_task_is_loaded_with_what_its_cell_needs(write: Write, home: Home) -> None:
    cells = ("%%params\nn = 2", "%%task rows\nrows = [1, n]", "%%task total\ntotal = rows[n + 5]")
    run = nbdag.run(write(*cells), parameters={"n": 3}, home=home)
    loaded = runs.load_task(run.dag, task="total", home=home)
    assert (loaded.run, loaded.task.id, loaded.task.state.value) == (run.id, "total", "failed")
    assert (loaded.inputs, loaded.outputs, loaded.missing) == ({"rows": [1, 3]}, {}, ())
    assert loaded.parameters == {"n": 3}
    assert list(loaded.sources) == ["rows"]
