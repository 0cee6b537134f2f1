"""The code that runs before the code of `%%dag`."""

import pytest

from nbdag.core.cells.cells import RawCell, classify
from nbdag.core.dataflow.build_prefix import build_prefix

CASES = [
    # above, body → which of the cells above
    (["x = 1"], "for n in range(3): Python(f'a{n}', '1')", []),
    (["x = 1"], "print(x)", [0]),
    (["x = 1", "y = 2"], "print(y)", [1]),
    (["x = 1", "y = x + 1", "z = 3"], "print(y)", [0, 1]),
    (["def f():\n    return g()", "def g(): ...", "def h(): ..."], "f()", [0, 1]),
    (["xs = []", "xs.append(1)", "ys = []"], "print(xs)", [0, 1]),
    (["import pandas as pd\ndf = pd.read_csv('big.csv')", "import os"], "os.getcwd()", [1]),
    (["from m import *"], "print(x)", [0]),
    (["from m import *"], "Python('a', '1')", [0]),
    (["import sys\nsys.path.insert(0, 'lib')"], "from lib import f\nPython('a', f)", [0]),
    (["%cd data"], "Python('a', '1')", [0]),
    (["import os\nos.environ['A'] = '1'"], "Python('a', '1')", [0]),
    (["x = 1"], "eval('x')", [0]),
    (["x = ("], "print(x)", []),
    (["%%task a\nx = 1"], "print(x)", []),
    (["%%skip\nx = 1"], "print(x)", []),
]


@pytest.mark.parametrize(("above", "body", "expected"), CASES)
def test_only_the_needed_cells_run_before_the_dag_code(above, body, expected):
    cells = classify([*map(RawCell, above), RawCell(f"%%dag\n{body}"), RawCell("%%setup\nx = y = 1")]).cells
    found = [cell.index for cell in build_prefix(cells)]
    # Operators are a body's own; whatever it reads besides must not be missed.
    assert found == expected


def test_parameters_come_first_wherever_they_are():
    cells = classify(
        [RawCell("y = n"), RawCell("%%dag\nprint(y)"), RawCell("%%params\nn = 3"), RawCell("%%params\nm = 3")]
    )
    assert [cell.index for cell in build_prefix(cells.cells)] == [2, 0]
