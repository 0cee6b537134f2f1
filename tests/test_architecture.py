"""Tests of the direction of imports, the imports at start, and the documentation of everything public."""

from __future__ import annotations

import ast
import contextlib
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib import import_module
from importlib.util import resolve_name
from pathlib import Path

import click
import grimp
import pytest

from nbdag.cli import main

ROOT = Path(__file__).parents[1]
HEAVY = (
    "IPython", "alembic", "graphviz", "ipykernel", "ipywidgets", "jupyter_client", "jupyter_server", "nbclient", "nbformat",
    "numpy", "pandas", "papermill", "rich", "sqlalchemy", "yaml",
)  # fmt: skip


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after this code."""
    printed = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    ).stdout
    return {module.partition(".")[0] for module in printed.splitlines()[-1].split()}


def test_imports_follow_the_contracts() -> None:
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert command, "import-linter is among the test dependencies"
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_modules_import_one_another_in_a_circle() -> None:
    graph = grimp.build_graph("nbdag", cache_dir=None, exclude_type_checking_imports=False)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    list(TopologicalSorter(imports).static_order())  # raises a CycleError, which names the modules of a circle


@pytest.mark.parametrize(
    "code",
    [
        "import nbdag",
        "from nbdag.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from nbdag.cli import main\ntry: main(['--version'])\nexcept SystemExit: pass",
        "from nbdag.cli import main\ntry: main(['no-such-command'])\nexcept SystemExit: pass",
    ],
)
def test_starting_imports_no_heavy_module(code: str) -> None:
    assert not loaded_by(code) & set(HEAVY)


@pytest.mark.parametrize(
    "module",
    [
        "actions.backfill",
        "actions.gc",
        "actions.deploy",
        "actions.doctor",
        "actions.clear",
        "queries.monitoring.health",
        "actions.pools",
        "actions.resume",
        "queries.why",
    ],
)
def test_a_module_of_runs_imports_the_database_only_on_use(module: str) -> None:
    assert "sqlalchemy" not in loaded_by(f"import nbdag.runs.{module}")


def test_a_worker_imports_papermill_without_its_unused_dependencies() -> None:
    loaded = loaded_by("import nbdag.kernels.worker.worker")
    assert "papermill" in loaded
    assert not loaded & {"lark", "numpy"}  # of the grammar of IRIs; of pyarrow


@pytest.mark.parametrize("command", [command for lines in main.sections.values() for command in lines])
class TestEveryCommand:
    def test_has_the_same_summary_in_the_list_and_in_its_own_help(self, command: str) -> None:
        summaries = {name: help for lines in main.sections.values() for name, (_, help) in lines.items()}
        assert self._command(command).get_short_help_str(limit=200).rstrip(".") == summaries[command].rstrip(".")

    def test_shows_examples(self, command: str) -> None:
        epilog = self._command(command).epilog or ""
        assert "Examples:" in epilog
        assert f"nbdag {command}" in epilog

    def test_explains_every_option(self, command: str) -> None:
        options = [each for each in self._command(command).params if isinstance(each, click.Option)]
        assert [option.name for option in options if not option.help] == []

    def test_is_mentioned_in_the_readme_or_the_guide(self, command: str) -> None:
        text = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md"))
        assert re.search(rf"\bnbdag {command}\b", text), f"'nbdag {command}' is not documented"

    def _command(self, name: str) -> click.Command:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        return command


def test_every_public_name_exists_and_has_a_docstring() -> None:
    import nbdag

    assert set(nbdag.__all__) <= set(dir(nbdag))
    undocumented = [name for name in nbdag.__all__ if not (getattr(nbdag, name).__doc__ or "").strip()]
    assert undocumented == []


@pytest.mark.parametrize(
    "name", ["nbdag", *(f"nbdag.{each}" for each in ("airflow", "operators", "runs", "templates"))]
)
def test_every_name_that_a_package_imports_on_first_use_exists(name: str) -> None:
    package = import_module(name)
    for each in {*dir(package), *getattr(package, "NAMES", ())}:
        getattr(package, each)


def test_every_module_and_name_that_a_text_names_exists() -> None:
    """mypy checks import statements only, so `import_module("nbdag.runs").list_runs` and "nbdag.runs:run" are free."""
    found = set()
    for path in (ROOT / "nbdag").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(r"""["'](nbdag(?:\.\w+)+):(\w+)["']""", text))
        if "import_module" in text:
            parts = path.relative_to(ROOT).with_suffix("").parts
            found |= set(_modules_of_texts(ast.parse(text), ".".join(parts).removesuffix(".__init__"), path.stem))
    assert ("nbdag.runs", "has_succeeded") in found  # read by nbdag.task_api.waiting
    for module, name in sorted(found):
        assert hasattr(import_module(module), name), f"{module} has no {name}"


def _modules_of_texts(tree: ast.AST, module: str, stem: str) -> Iterator[tuple[str, str]]:
    """Yield each module of nbdag that is imported by a text, with each name that is read from it."""
    names = {"__name__": module, "__package__": module if stem == "__init__" else module.rpartition(".")[0]}
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            with contextlib.suppress(NameError):  # the text is known only when the code runs
                imported, *package = (eval(ast.unparse(each), {}, names) for each in node.args)
                imported = resolve_name(imported, *package or [""])
                if imported.startswith("nbdag"):
                    yield imported, "__name__"
                    modules[ast.unparse(node)] = imported
    for assigned in ast.walk(tree):
        if isinstance(assigned, ast.Assign) and ast.unparse(assigned.value) in modules:
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and ast.unparse(node.value) == ast.unparse(assigned.targets[0]):
                    yield modules[ast.unparse(assigned.value)], node.attr


def test_every_path_in_the_guide_exists() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(r"`([\w.][\w./-]*(?:/|/[\w-]+|\.py))`", guide)
    assert len(paths) > 50
    assert [path for path in paths if not any((ROOT / top / path).exists() for top in ("", "nbdag"))] == []


def test_the_readme_contains_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", readme, re.S | re.M)
    assert len(blocks) == 2
    first, second = (block.strip() for block in blocks)
    assert "\n" not in first
    assert "nbdag run notebooks/ml_pipeline.ipynb" in first
    assert "\n" not in second
    assert "pytest" in second


def test_every_module_has_a_docstring() -> None:
    silent = [
        path.relative_to(ROOT)
        for path in sorted((ROOT / "nbdag").rglob("*.py"))
        if not re.match(r"""r?(\"{3}|'{3})\S""", path.read_text(encoding="utf-8"))
    ]
    assert silent == []


def test_no_folder_has_more_modules_than_a_reader_surveys_at_once() -> None:
    alike = {ROOT / "nbdag" / "cli", ROOT / "nbdag" / "store" / "migrations" / "versions"}
    counts = Counter(path.parent for path in (ROOT / "nbdag").rglob("*.py") if path.name != "__init__.py")
    assert {str(folder): count for folder, count in counts.items() if count > 15 and folder not in alike} == {}
