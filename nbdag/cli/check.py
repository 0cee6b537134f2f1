"""`check`, `explain` and `ci`: find the problems of notebooks, explain their codes, and print a workflow for CI."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import runs
from ..core.cells.describe import describe
from ..core.model.dag import Dag, Problem
from ..core.model.problems import TABLE
from ..core.model.text import plural
from ..errors import NbdagError
from . import complete
from ._group import examples
from .notebook import NOTEBOOK, print_problems
from .output import short_path, to_json

if TYPE_CHECKING:
    from ..linting.formats import CheckedFile
    from ..runs import CheckedNotebook


@click.command(
    epilog=examples(
        ("nbdag check churn.ipynb", "print errors and warnings, each with its place and a hint"),
        ("nbdag check --strict *.ipynb", "also fail for warnings, for example in a commit hook"),
        ("nbdag check --fix churn.ipynb", "repair problems with one safe repair, and print the others"),
        ("nbdag check --ignore NB302,NB31 churn.ipynb", "omit NB302 and all codes that begin with NB31"),
        ("nbdag check --format github *.ipynb", "print annotations for GitHub Actions"),
        ("nbdag check --format sarif *.ipynb > nbdag.sarif", "write a file for code scanning"),
        ("nbdag check --json churn.ipynb", "print tasks, edges, order and problems, for a script"),
    )
)
@click.argument("notebook", nargs=-1, required=True, type=NOTEBOOK, shell_complete=complete.notebooks)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per notebook; the same as --format json.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "sarif", "github"]),
    default="text",
    show_default=True,
    help="Format of the output.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
@click.option(
    "--select",
    multiple=True,
    metavar="CODES",
    shell_complete=complete.codes,
    help="Report only these codes: NB201, or NB2 for all codes that begin with NB2; repeatable, or with commas.",
)
@click.option("--ignore", multiple=True, metavar="CODES", shell_complete=complete.codes, help="Omit these codes.")
@click.option("--fix", is_flag=True, help="Repair problems with one safe repair, in the file.")
def check(
    notebook: Sequence[Path],
    as_json: bool,
    form: str,
    strict: bool,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    fix: bool,
) -> int:
    """Check notebooks for errors and warnings.

    Task cells are analysed, not executed. Only a %%dag cell is executed, to build its tasks, after the parameters and
    setup cells that it needs.

    `nbdag explain CODE` explains a code. A comment `# nbdag: ignore[NB303]` in a cell ignores a warning. [tool.nbdag]
    in pyproject.toml may have the lists `select` and `ignore`. --select replaces the list `select`; --ignore adds to
    the list `ignore`. If NB107 is ignored, no problem is reported for a notebook without tasks.

    --fix corrects misspelt names, options and magics, adds a missing --after, and moves imports to setup. It also adds
    a header to an untagged cell if tasks need the cell. --fix keeps a repair only if it causes no new error.

    Exits with 1 if an error would prevent a notebook from running. Cell numbers start at 1 and include markdown cells;
    in JSON they start at 0.
    """
    form = "json" if as_json else form
    found = 0
    files: list[CheckedFile] = []
    for path in notebook:
        try:
            checked = runs.check(path, select=select, ignore=ignore, fix=fix)
        except NbdagError as error:
            if len(notebook) == 1 and form != "sarif":
                raise
            found += 1
            files += _print_failure(path, error, form)
            continue
        if checked.printed:
            click.echo(checked.printed.rstrip("\n"), err=True)
        for each in checked.repaired:
            text = f"{short_path(path)}: repaired {each.code}: {each.message}{_change(each)}"
            click.echo(text, err=form != "text")
        for each in checked.left:
            reason = "the repair adds a cell, or changes lines that are not in the text"
            click.echo(f"{short_path(path)}: {each.code} is not repaired in a text notebook: {reason}", err=True)
        files += _print(path, checked, form, indent=2 if len(notebook) == 1 else None)
        found += len(checked.dag.problems if strict else checked.dag.errors)
    if form == "sarif":
        from ..linting.formats import sarif

        click.echo(to_json(sarif(files), indent=2))
    return 1 if found else 0


def _change(repaired: Problem) -> str:
    """Return the words that complete the message about a repair, or "" if the message already shows the repair."""
    repair = repaired.repair
    if repair is None or not repair.new:
        return ""
    return f"; added --after {repair.new}" if repair.kind == "after" else f"; replaced it by {repair.new}"


def _print(path: Path, checked: CheckedNotebook, form: str, *, indent: int | None) -> Iterable[CheckedFile]:
    """Print a checked notebook. SARIF is one log for all notebooks, so return the notebook instead for SARIF."""
    if form == "text":
        print_problems(checked.dag, path)
        click.echo(f"{short_path(path)}: {_count(checked.dag)}")
        return ()
    if form == "json":
        click.echo(to_json(describe(checked.dag), indent=indent))
        return ()
    from ..linting.formats import CheckedFile, github

    file = CheckedFile(path=path, text=checked.source.decode("utf-8-sig"), problems=checked.dag.problems)
    for line in github(file) if form == "github" else ():
        click.echo(line)
    return [file]


def _print_failure(path: Path, error: NbdagError, form: str) -> Iterable[CheckedFile]:
    if form in ("text", "json"):
        click.echo(f"{click.style('error', fg='red', bold=True)}: {error}", err=True)
        return ()
    from ..linting.formats import CheckedFile, github

    file = CheckedFile(path=path, text="", failure=str(error))
    for line in github(file) if form == "github" else ():
        click.echo(line)
    return [file]


@click.command(
    epilog=examples(
        ("nbdag explain NB201", "explain this code, with a wrong and a right example"),
        ("nbdag explain", "list all codes"),
        ("nbdag explain NB3", "list the codes that begin with NB3"),
    )
)
@click.argument("code", required=False, shell_complete=complete.codes)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of explanations.")
def explain(code: str | None, as_json: bool) -> None:
    """Explain a code of `nbdag check` or of a warning of a run."""
    from ..linting import explanations

    start = (code or "NB").strip().upper()
    if start in TABLE or not any(each.startswith(start) for each in TABLE):
        found = [explanations.explain(start)]
    else:
        found = [each for each in explanations.all_explanations() if each.code.startswith(start)]
    if as_json:
        keys = ("code", "severity", "title", "text", "wrong", "right")
        click.echo(to_json([{key: getattr(each, key) for key in keys} for each in found], indent=2))
    elif len(found) == 1:
        click.echo(explanations.as_text(found[0]), nl=False)
    else:
        for each in found:
            colour = "red" if each.severity == "error" else "yellow"
            click.echo(f"{each.code} {click.style(f'{each.severity:<7}', fg=colour)} {each.title}")


@click.command(
    epilog=examples(
        ("nbdag ci github > .github/workflows/notebooks.yml", "check and test the notebooks on GitHub"),
        ("nbdag ci gitlab notebooks > .gitlab-ci.yml", "check and test the notebooks of a folder on GitLab"),
    )
)
@click.argument("host", metavar="github|gitlab", type=click.Choice(["github", "gitlab"]))
@click.argument("folder", default=".", type=click.Path(path_type=Path))
def ci(host: str, folder: Path) -> None:
    """Print a CI workflow that checks and tests notebooks.

    The workflow installs nbdag, and the packages of requirements.txt or pyproject.toml in the current folder. Then it
    checks all notebooks with tasks, and runs `pytest --nbdag`.
    """
    from ..linting.workflows import workflow

    click.echo(workflow(host, folder), nl=False)


def _count(dag: Dag) -> str:
    errors = len(dag.errors)
    warnings = len(dag.problems) - errors
    counts = [plural(len(dag.tasks), "task")]
    counts += [plural(errors, "error")] if errors else []
    counts += [plural(warnings, "warning")] if warnings else []
    return ", ".join(counts) if len(counts) > 1 else f"{counts[0]}, no problems"
