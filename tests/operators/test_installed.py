"""An operator of another package, which pip has really installed: every command knows it and its options."""

from __future__ import annotations

import ensurepip
import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

OPERATOR = """
from nbdag.operators import Operator, OperatorError, kinds, option


class Greet(Operator):
    summary = "The body is a list of names, which are greeted."
    example = "%%task a --operator greet --times 2\\nAda"
    own_options = (option("times", kinds.integer(1), "how often; default once", default=1),)

    def source(self, body, options):
        if not body.strip():
            raise OperatorError("nobody to greet", hint="write a name")
        times = self.given(options)["times"]
        name = options.out[0] if options.out else "_"
        return f"{name} = __import__('greetings', fromlist=['greet']).greet({body!r}, word, {times})" + "\\n" * body.count("\\n")


def greet(names, word, times):
    print("greeting")
    return [f"{word} {name}" for name in names.split() for _ in range(times)]
"""
NOTEBOOK = (
    "%%task word\nword = 'Hello'",
    "%%task hello --operator greet --times 2 --out hellos\nAda Bob",
    "%%dag\nGreet('more', 'Cleo', times=1, out='more')",
    "%%task all --out everybody\neverybody = hellos + more",
)


def wheel(folder: Path) -> Path:
    """Build a wheel of a package with one module and one entry point."""
    path = folder / "greetings-1.0-py3-none-any.whl"
    info = "greetings-1.0.dist-info"
    files = {
        "greetings.py": OPERATOR,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: greetings\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[nbdag.operators]\ngreet = greetings:Greet\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD")))
    return path


def pip_environment() -> dict[str, str]:
    """Return an environment in which `python -m pip` works, if need be with the pip that Python itself contains."""
    if importlib.util.find_spec("pip") and importlib.util.find_spec("pip.__main__"):
        return dict(os.environ)
    (bundled,) = (Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl")
    return {**os.environ, "PYTHONPATH": str(bundled)}


@pytest.fixture(scope="module")
def nbdag(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Install the package into a folder, and return a function that runs a command of nbdag which can import it."""
    folder = tmp_path_factory.mktemp("installed")
    target = folder / "packages"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", target, wheel(folder)], check=True, env=pip_environment(), timeout=300)
    cells = [nbformat.v4.new_code_cell(cell) for cell in NOTEBOOK]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "greet.ipynb")

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(target), "NBDAG_HOME": str(folder / "home")}
        line = [sys.executable, *(words if words[0] == "-c" else ("-m", "nbdag", *words))]
        return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)

    return command


@pytest.mark.slow
def test_a_run_executes_it_with_its_options_and_in_dag(nbdag: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = nbdag("run", "greet.ipynb", "--json")
    assert done.returncode == 0, done.stderr
    tasks = {each["id"]: each for each in json.loads(done.stdout)["tasks"]}
    assert tasks["all"]["outputs"][0]["summary"].startswith(
        "['Hello Ada', 'Hello Ada', 'Hello Bob', 'Hello Bob', 'Hello Cleo'"
    )
    checked = json.loads(nbdag("check", "greet.ipynb", "--json").stdout)
    options = {each["id"]: (each["operator"], each["options"]["operator_options"]) for each in checked["tasks"]}
    assert options["hello"] == ("greet", {"times": 2})
    assert options["more"] == ("greet", {"times": 1})
    assert {"from": "word", "to": "hello"}.items() <= checked["edges"][0].items()


def test_help_and_errors_know_its_options(nbdag: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    code = (
        "import nbdag.operators\n"
        "from nbdag.core.cells import header\n"
        "print(header.help('task'))\n"
        "try: header.parse('%%task a --operator greet --tiems 2')\n"
        "except header.HeaderError as error: print(error)\n"
        "try: header.parse('%%task a --times 2')\n"
        "except header.HeaderError as error: print(error)\n"
    )
    text = nbdag("-c", code).stdout
    assert "Operator greet\n  The body is a list of names, which are greeted.\n" in text
    assert "  --times N                   how often; default once" in text
    assert "unknown option --tiems; did you mean --times?" in text
    assert "--times is an option of the operator greet, but the operator of this task is python" in text
