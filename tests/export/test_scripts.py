"""Scripts: a pipeline that runs without nbdag leaves the same values. `tests/examples` exports the examples."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbdag.core.model.dag import Dag
from nbdag.export import ExportError
from nbdag.export.script import script_file

DagOf = Callable[..., Dag]


def run(text: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run a script in this process, and return its variables."""
    namespace: dict[str, Any] = {"__name__": "__main__", "__doc__": "A script."}
    monkeypatch.setattr(sys, "argv", ["script.py", *arguments])
    exec(compile(text, "script.py", "exec", dont_inherit=True), namespace)
    return namespace


CASES = [
    (["%%task a\nx = 1", "%%task b\ny = x + 1"], {"y": 2}),
    (["%%task a --when '1 > 2'\nx = 1", "%%task b --after a\ny = 1", "%%task c --after a --trigger all_done\nz = 1"],
     {"x": None, "y": None, "z": 1}),
    (["%%task g --branch\n'a'", "%%task a --after g\nx = 'a'", "%%task b --after g\nx = 'b'",
      "%%task c --after a b --trigger none_failed_min_one_success\ny = x"], {"y": "a"}),
    (["%%task g --branch\nNone", "%%task a --after g\nx = 1",
      "%%task c --after a --trigger none_failed_min_one_success\ny = 2", "%%task d\nz = 3"],
     {"x": None, "y": None, "z": 3}),
    (["%%task s --short-circuit\n[]", "%%task a --after s\nx = 1", "%%task b --after a --trigger all_done\ny = 1"],
     {"x": None, "y": None}),
    (["%%task a\nxs, k = [1, 2], [0]", "%%task m --map x=xs --map 'n=(10, 20)'\ny = x * n", "%%task c\nz = y"],
     {"z": [10, 20, 20, 40]}),
    (["%%task a\nxs, k = [1, 2], [0]", "%%task m --map x=xs --map n='[3, 4]' --zip\nk.append(x)\np, q = k, n",
      "%%task c\nz = p, q"], {"z": ([[0, 1], [0, 2]], [3, 4]), "k": [0]}),
    (["%%task a\nxs = [1, 2]\nstep = 1", "%%task m --map x=xs --check 'y > x'\ny = x + step", "%%task c\nz = y"],
     {"z": [2, 3]}),  # each instance is checked, not the list
    (["%%task a\nxs = [1, 2]", "%%task m --map x=xs\ny = x", "%%task n --map y=y x=xs --in-step m\ny = y + x",
      "%%task c\nz = y"], {"z": [2, 4]}),
    (["%%task a\nxs, n = [2, 3], 0", "%%task m --map x=xs --operator sensor --poke 0.001\nn = n + 1\nn >= x",
      "%%task c\nz = n"], {"z": [2, 3]}),  # each instance polls
    (["%%task a\nxs, x = [1, 2], 5", "%%task m --map x=xs --when 'len(xs) > 1'\nprint(x)", "%%task c\nz = x"],
     {"z": 5}),
    (["%%setup\nfrom time import time\nimport copy as datetime\nfrom itertools import *\njson = ast = 0",
      "%%params\nn = 0", "%%task a\nxs = [1, 2]\nbegun = dag_run.logical_date",
      "%%task m --map x=xs y=xs --operator sensor --poke 0.001\nn = x\ntime() > 0", "%%task c\nz = n"],
     {"z": [1, 1, 2, 2]}),  # the notebook's names do not hide the modules of the script
    (["%%task a\nx = f\"#{dag_run.dag_id}\"", "%%task b\ny = 'dag_run'  # raise Skip"],
     {"x": "#nb", "y": "dag_run"}),
    (["%%task a\nn = 0", "%%task w --operator sensor --poke 0.001\nn = n + 1\nn >= 3", "%%task c\nz = n"], {"z": 3}),
    (["%%params\nshow = 1\nskipped: int = 2", "%%task a --when 'show == 1'\nresults = show + skipped\nresults"],
     {"results": 3}),  # the script's own names differ from those of the notebook
    (["%%task a\ntext = '''\n  two\nlines'''", "%%task b --when True\nsame = f'''\n{text}'''"],
     {"same": "\n\n  two\nlines"}),
    (["%%task a\nfrom __future__ import annotations\ndef f(x: Unknown): return x", "%%task b\ny = f(1)"], {"y": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("cells", "expected"), CASES)
def test_a_script_leaves_the_values_of_a_run(
    cells: list[str], expected: dict[str, Any], dag_of: DagOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    namespace = run(script_file(dag_of(*cells), "nbdag export script nb.ipynb"), monkeypatch=monkeypatch)
    assert {name: namespace.get(name) for name in expected} == expected


def test_last_expressions_are_printed_as_jupyter_shows_them(
    dag_of: DagOf, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [
        "%%task a\nx = 1; 'text'",
        "%%task b\nx, 2",
        "%%task c\nx;",
        "%%task d\n(\n    x +\n    1\n)  # sum",
        "%%task e\nNone",
    ]
    run(script_file(dag_of(*cells), "nbdag export script nb.ipynb"), monkeypatch=monkeypatch)
    assert capsys.readouterr().out.splitlines() == ["'text'", "(1, 2)", "2"]


PARAMETERS = [
    "%%params\nfrom datetime import date\nalpha: float = 0.5\nname = 'x'\nday: date = date(2026, 1, 31)\nsizes = [1]",
    "%%task a\nsaid = alpha, name, day, sizes",
]


def test_parameters_are_set_as_by_papermill(dag_of: DagOf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from datetime import date

    (tmp_path / "values.json").write_text('{"sizes": [2, 3], "alpha": 0.1}')
    text = script_file(dag_of(*PARAMETERS), "nbdag export script nb.ipynb")
    assert run(text, monkeypatch=monkeypatch)["said"] == (0.5, "x", date(2026, 1, 31), [1])
    arguments = [
        "-f",
        str(tmp_path / "values.json"),
        "-p",
        "alpha",
        "0.9",
        "-p",
        "name",
        "1",
        "-p",
        "day",
        "2026-02-01",
    ]
    assert run(text, *arguments, monkeypatch=monkeypatch)["said"] == (0.9, "1", date(2026, 2, 1), [2, 3])


def test_an_unknown_parameter_is_refused(
    dag_of: DagOf, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = script_file(dag_of(*PARAMETERS), "nbdag export script nb.ipynb")
    with pytest.raises(SystemExit):
        run(text, "-p", "alfa", "1", monkeypatch=monkeypatch)
    assert "unknown parameter 'alfa'; expected one of alpha, day, name, sizes" in capsys.readouterr().err


def test_a_failed_check_ends_the_script(dag_of: DagOf, monkeypatch: pytest.MonkeyPatch) -> None:
    text = script_file(dag_of("%%task a --check 'x > 1'\nx = 1"), "nbdag export script nb.ipynb")
    with pytest.raises(SystemExit, match="task a failed: x > 1 is false"):
        run(text, monkeypatch=monkeypatch)


def test_magics_are_translated_by_ipython(dag_of: DagOf, tmp_path: Path) -> None:
    cells = ["%%task a\nlines = !echo one; echo two\n%time n = len(lines)", "%%task b\nprint(n, list(lines))"]
    path = tmp_path / "script.py"
    path.write_text(script_file(dag_of(*cells), "nbdag export script nb.ipynb"))
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "2 ['one', 'two']"


def test_a_script_imports_display_only_if_it_uses_it(dag_of: DagOf, tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(script_file(dag_of("%%task a\nx = 1\ndisplay(x)"), "nbdag export script nb.ipynb"))
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
    assert "IPython" not in script_file(dag_of("%%task a\nx = 1"), "nbdag export script nb.ipynb")


def test_options_without_an_effect_are_reported_with_their_place(dag_of: DagOf) -> None:
    text = script_file(
        dag_of("%%task a --retries 2 --pool gpu --timeout 5m\nx = 1", "%%task b --operator bash\necho $x"),
        "nbdag export script nb.ipynb",
    )
    assert "# Without an effect in a script: --retries 2, --timeout 5m, --pool gpu\nx = 1" in text
    assert "# It calls functions of the package nbdag." in text
    assert "it needs the package nbdag." in text


def test_a_script_names_the_packages_and_files_that_it_needs(dag_of: DagOf) -> None:
    text = script_file(dag_of("%dag x --with lib/ *.sql --requires pandas==3.1", "%%task a\nx = 1"), "nbdag export")
    assert "Before you run it, install the packages of %dag --requires: pandas==3.1." in text
    assert "Copy the files of %dag --with (lib/ *.sql) beside it, and run it in that folder." in text


def test_a_script_of_plain_python_needs_only_the_packages_of_the_notebook(dag_of: DagOf) -> None:
    text = script_file(dag_of("%load_ext nbdag\n%dag x", "%%task a\nx = 1"), "nbdag export script nb.ipynb")
    assert not [line for line in text.splitlines() if "nbdag" in line and "`nbdag export" not in line]


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (["%%task a --approve 'Go?'\n1"], "task a has --approve"),
        (["%%task a --operator trigger\nother"], "task a triggers a deployed pipeline"),
        (["%%task a\nimport asyncio\nawait asyncio.sleep(0)"], "task a has await at its top level"),
        (["%%task a\nx = 1", "%%task b\nprint(dag_run.ti.xcom_pull('a'))"], "task b uses dag_run.ti"),
        (["%%task a\nimport nbdag\nraise nbdag.Skip('no')"], "task a raises Skip"),
        (["%%task a\nprint(f'#{dag_run.ti}')"], "task a uses dag_run.ti"),
        (["%%task a\n%time print(dag_run.ti)"], "task a uses dag_run.ti"),
        (
            ["%%setup\nx = 1", "%%task m --map x='[1]' --when 'x > 1'\n1"],
            "task m has --map, and its --when reads the element x",
        ),
        (["%%task m --map x='[1]' --branch\n'b'", "%%task b --after m\n1"], "task m combines --branch with --map"),
        (["%%task m --map x='[1]'\ndef f(): return 1", "%%task b\ny = f()"], "task m is mapped and defines f"),
    ],
)
def test_what_a_script_cannot_do_is_refused(cells: list[str], reason: str, dag_of: DagOf) -> None:
    with pytest.raises(ExportError, match=f"nb cannot be exported to a script: {reason}"):
        script_file(dag_of(*cells), "nbdag export script nb.ipynb")
