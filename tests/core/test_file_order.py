"""Two tasks that use one file need an order, and only such tasks."""

from __future__ import annotations

import pytest

from nbdag.core.cells.cells import RawCell
from nbdag.core.dataflow.file_order import file_conflicts
from nbdag.core.model.dag import Dag, Problem
from nbdag.core.model.job import FileUse
from nbdag.notebooks import read_cells

SETUP = (
    "import json, joblib, os, shutil, sqlite3\nfrom pathlib import Path\nimport numpy as np\nimport pandas as pd\n"
    "import matplotlib.pyplot as plt\nDATA = Path('data')\nMODEL = DATA / 'best.joblib'"
)


def notebook(first: str, second: str, *, after: str = "") -> Dag:
    return read_cells(
        [RawCell(SETUP), RawCell(f"%%task train\n{first}"), RawCell(f"%%task publish{after}\n{second}")],
        name="nb.ipynb",
    )


def told(dag: Dag) -> list[Problem]:
    return [each for each in dag.problems if each.code == "NB312"]


CONFLICTS = {
    "open": ("open('m.txt', 'w').write('1')", "open('m.txt').read()"),
    "open in another spelling": ("open('./m.txt', mode='x')", "open('m.txt', 'rb')"),
    "a path's methods": ("Path('m.txt').write_text('1')", "Path('m.txt').read_text()"),
    "a constant of setup": ("joblib.dump(1, MODEL)", "joblib.load('data/best.joblib')"),
    "an f-string": ("pd.DataFrame().to_csv(f'{DATA}/m.csv')", "pd.read_csv('data/m.csv')"),
    "os.path.join": ("pd.DataFrame().to_parquet(os.path.join('a', 'm'))", "pd.read_parquet('a/m')"),
    "numpy": ("np.save('m.npy', [1])", "np.load('m.npy')"),
    "a figure": ("plt.savefig('m.png')", "plt.imread('m.png')"),
    "a read above the write": ("pd.read_csv('m.csv')", "pd.DataFrame().to_csv('m.csv')"),
    "two writes": ("pd.DataFrame().to_csv('m.csv')", "pd.DataFrame().to_csv('m.csv')"),
    "a log that the other reads": ("open('m.log', 'a').write('x')", "open('m.log').read()"),
    "a move": ("open('m.tmp', 'w')\nos.replace('m.tmp', 'm.txt')", "open('m.txt')"),
    "shell lines": ("!echo 1 > m.txt", "!cat m.txt"),
    "a cell of bash": ("%%bash\necho 1 >> m.txt", "print(1)\n!wc -l ./m.txt | tee lines.txt"),
    "commands": ("subprocess.run(['cp', 'a.txt', 'm.txt'])", "os.system('sort --key=2 m.txt')"),
    "a command's output": ("!curl https://x.org -o m.csv", "pd.read_csv('m.csv')"),
    "a script of Python": ("open('m.csv', 'w')", "!python count.py --in=m.csv"),
    "a check of a path": ("Path('m.txt').write_text('1')", "Path('m.txt').exists()"),
    "a check by os.path": ("Path('m.txt').write_text('1')", "os.path.isfile('m.txt')"),
    "the files of a folder": ("open('out/m.txt', 'w')", "glob.glob('out/*.txt')"),
    "a listed folder": ("open('out/m.txt', 'w')", "list(Path('out').iterdir())"),
    "inside a function of the cell": ("def f():\n    return open('m.txt', 'w')\nf()", "with open('m.txt') as m: pass"),
}


@pytest.mark.parametrize("name", CONFLICTS)
def test_check_reports_a_file_of_two_unordered_tasks(name: str) -> None:
    dag = notebook(*CONFLICTS[name])
    (warning,) = told(dag)
    assert warning.severity == "warning"
    assert warning.task == "publish"
    assert warning.hint == "add --after train to %%task publish"
    assert not told(notebook(*CONFLICTS[name], after=" --after train"))


ORDERLY = {
    "two checks": ("Path('m.csv').exists()", "os.path.exists('m.csv')"),
    "a log that each task checks and appends to": (
        "os.path.exists('m.log')\nopen('m.log', 'a').write('x')",
        "os.path.exists('m.log')\nopen('m.log', 'a').write('y')",
    ),
    "two reads": ("pd.read_csv('m.csv')", "pd.read_csv('m.csv')"),
    "two appends": ("open('m.log', 'a').write('x')", "open('m.log', 'a').write('y')"),
    "shell lines without a common file": ("!echo 3.14 > a.txt; ls *.csv $m.txt", "!cat b.txt && rm -rf c"),
    "a list that two shell lines read": ("!cat m.txt", "%%bash\nwc -l < m.txt"),
    "different files": ("open('a.txt', 'w')", "open('b.txt')"),
    "a variable orders them": ("df = 1\nopen('m.txt', 'w')", "print(df, open('m.txt'))"),
    "an address": ("pd.DataFrame().to_csv('s3://b/m.csv')", "pd.read_csv('s3://b/m.csv')"),
    "a replaced text": ("'a'.replace('m', 'n')", "open('m')"),
    "conversions": ("pd.to_datetime('2026')\npd.Series().dt.to_period('M')", "pd.to_datetime('2026').to_period('M')"),
    "a path that is not known": ("open(name(), 'w')", "open(name())"),
}


@pytest.mark.parametrize("name", ORDERLY)
def test_check_reports_no_file_without_a_conflict(name: str) -> None:
    assert not told(notebook(*ORDERLY[name]))


@pytest.mark.parametrize(
    ("scratch", "task", "said"),
    [
        ("Path('d.csv').write_text('1')", "pd.read_csv('d.csv')", True),
        ("df.to_csv('out/d.csv')", "Path('out/d.csv').exists()", True),
        ("%%skip\ndf.to_csv('d.csv')", "pd.read_csv('d.csv')", False),
        ("pd.read_csv('d.csv')", "pd.read_csv('d.csv')", False),
        ("df.to_csv('d.csv')", "pd.read_csv('e.csv')", False),
    ],
)
def test_a_file_that_an_untagged_cell_writes_for_a_task_is_reported(scratch: str, task: str, said: bool) -> None:
    imports = "from pathlib import Path\nimport os\nimport pandas as pd\ndf = pd.DataFrame()"
    sources = [imports, "%%task first\nx = 1", scratch, f"%%task second\n{task}"]
    dag = read_cells([RawCell(source) for source in sources], name="nb.ipynb")
    found = [each for each in dag.problems if each.code == "NB311"]
    assert len(found) == said
    assert all("cell 3 writes" in each.message and "second would read" in each.message for each in found)


def test_one_conflict_lists_all_files_of_two_tasks() -> None:
    uses = {"a": [FileUse("/x", "c"), FileUse("/y", "w")], "b": [FileUse("/x", "r"), FileUse("/y", "r")]}
    (conflict,) = file_conflicts(uses, lambda task: ())
    assert conflict.paths == ("/x", "/y")
    assert conflict.message() == "b reads /x, which a writes (and 1 more file), and nothing orders these tasks"


def test_a_task_that_lists_a_folder_needs_the_files_that_another_creates_there() -> None:
    uses = {"parts": [FileUse("/d/1", "c"), FileUse("/e/1", "w")], "merge": [FileUse("/d", "l"), FileUse("/e", "l")]}
    (conflict,) = file_conflicts(uses, lambda task: ())
    assert conflict.paths == ("/d/1",)
    assert not list(file_conflicts({"merge": uses["merge"], "parts": uses["parts"]}, lambda task: ()))


def test_a_path_of_the_graph_in_either_direction_is_an_order() -> None:
    uses = {"a": [FileUse("/x", "r")], "b": [FileUse("/x", "c")]}
    assert not list(file_conflicts(uses, {"a": ["b"], "b": []}.__getitem__))
    assert not list(file_conflicts(uses, {"a": [], "b": ["a"]}.__getitem__))
