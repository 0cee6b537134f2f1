"""`nbdag export` and `nbdag attempt`: arguments, exit codes, files."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

CELLS = [
    "%%params\nn = 2",
    "%%task a\nrows = [1] * n\nprint('made', n)",
    "%%task m --map r=rows\nr",
    "%%task s --when '1 > 2'\n1",
]


@pytest.mark.slow
def test_export_writes_files_and_replaces_only_its_own(nbdag, write_notebook: Callable[..., Path]) -> None:
    write_notebook(*CELLS)
    for words in (["airflow", "nb.ipynb", "-o", "dag.py"], ["script", "nb.ipynb", "-o", "script.py"]):
        for _ in range(2):
            done = nbdag("export", *words)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", f"wrote {words[-1]}\n")
        assert f"`nbdag export {' '.join(words)}`" in (nbdag.folder / words[-1]).read_text()
    (nbdag.folder / "mine.py").write_text("x = 1")
    done = nbdag("export", "script", "nb.ipynb", "-o", "mine.py")
    assert done.returncode == 2
    assert "mine.py already exists and was not written by `nbdag export`; choose another file" in done.stderr
    assert nbdag("export", "script", "nb.ipynb", "-o", "mine.py", "--overwrite").returncode == 0
    assert nbdag("export", "script", "nb.ipynb").stdout.startswith('"""The pipeline nb.')


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("export airflow none.ipynb", 2, "none.ipynb does not exist"),
        ("export airflow nb.ipynb --operator bsh", 2, "did you mean bash?"),
        ("export airflow nb.ipynb --operator docker", 2, "needs --image"),
        ("export airflow nb.ipynb -o missing/dag.py", 1, "choose a file in an existing, writable folder"),
        ("attempt nb.ipynb a", 2, "missing option '--run'"),
        ("attempt nb.ipynb b --run r", 2, "unknown task 'b'"),
        ("attempt nb.ipynb a --run r --conf [1]", 2, 'expected an object such as {"alpha": 0.5}, not list'),
        ("attempt nb.ipynb a --run r --conf {", 2, "invalid JSON"),
        ("attempt nb.ipynb a --run r --logical-date monday", 2, "invalid date 'monday'"),
        ("attempt nb.ipynb m --run r", 2, "m is mapped; pass --elements"),
        ("attempt nb.ipynb a --run r --code-version 0", 1, "but version 0 was exported"),
    ],
)
def test_wrong_input_is_reported_in_one_sentence(
    words: str, code: int, message: str, nbdag, write_notebook: Callable[..., Path]
) -> None:
    write_notebook(*CELLS)
    done = nbdag(*shlex.split(words))
    assert done.returncode == code
    assert re.fullmatch(r"nbdag: [^\n]+\n", done.stderr), done.stderr
    assert message in done.stderr


@pytest.mark.slow
def test_attempts_print_their_output_and_what_another_scheduler_needs(
    nbdag, write_notebook: Callable[..., Path]
) -> None:
    write_notebook(*CELLS)
    first = nbdag("attempt", "nb.ipynb", "a", "--run", "r", "--conf", '{"n": 3}', "--storage", "files")
    assert (first.returncode, first.stdout) == (0, "made 3\n")
    assert "files/runs/nb/r/tasks/a/1.ipynb" in first.stderr
    elements = nbdag(
        "attempt", "nb.ipynb", "m", "--run", "r", "--elements", "--storage", "files", "--result", "out.json"
    )
    assert [each["NBDAG_MAP_INDEX"] for each in json.loads(elements.stdout.splitlines()[-1])] == ["0", "1", "2"]
    assert json.loads((nbdag.folder / "out.json").read_text()) == json.loads(elements.stdout)
    skipped = nbdag("attempt", "nb.ipynb", "s", "--run", "r", "--storage", "files")
    assert skipped.returncode == 99
    assert "nbdag: s skipped" in skipped.stderr
