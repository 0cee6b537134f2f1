"""`compare` and `metrics`: show the differences between two runs, and the metrics of the latest runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from .. import runs as api
from ..core.model.metrics import number_text
from ..core.model.text import plural
from . import complete
from ._group import examples
from .history import DAG, similar_dag
from .options import COUNT
from .output import console, duration, moment, output_option, print_data, print_table, state_text

if TYPE_CHECKING:
    from ..runs import ComparedRuns, MetricSeries


@click.command(
    epilog=examples(
        ("nbdag compare --dag churn", "what differs between the latest two runs of churn"),
        (
            "nbdag compare scheduled__2026-01-01 scheduled__2026-01-02 --dag churn",
            "what differs between the runs of two days",
        ),
        ("nbdag compare scheduled__2026-01-01 latest -o json", "all parameters, metrics and durations, for a script"),
    )
)
@click.argument("words", nargs=-1, metavar="[[RUN] RUN]", shell_complete=complete.runs)
@DAG
@output_option
def compare(words: tuple[str, ...], dag: str | None, form: str) -> None:
    """Show what differs between two runs of a DAG.

    The command compares the notebook, metrics, parameters, states of tasks, durations, and other values. A metric is a
    stored value that is a single number. The metric of a mapped task is the mean of its instances. RUN is a run's id,
    an unambiguous prefix of an id, or 'latest'. Pass the earlier run first. A single run is compared with the run
    before it. Without RUN, the latest run is compared with the run before it.
    """
    if len(words) > 2:
        raise click.UsageError(f"got unexpected extra argument ({words[2]})", click.get_current_context())
    found = api.compare_runs(words[0] if len(words) == 2 else None, words[-1] if words else "latest", dag)
    if form != "table":
        print_data(found.to_dict(), form)
        return
    click.echo(f"{found.after.dag}: {found.before.id} > {found.after.id}")
    click.echo(f"notebook: {'changed' if found.notebook_changed else 'the same'}")
    _print_all(found)


@click.command(
    epilog=examples(
        ("nbdag metrics churn", "the metrics of the latest 20 runs of churn"),
        ("nbdag metrics churn.ipynb -n 100 --all", "of 100 runs, with the numbers that --metric does not name"),
        ("nbdag metrics churn -o json", "for a script"),
    )
)
@click.argument("dag", metavar="NOTEBOOK|DAG", shell_complete=complete.notebooks_or_dags)
@click.option("-n", "--limit", type=COUNT, default=20, show_default=True, help="Number of runs to list.")
@click.option("--all", "every", is_flag=True, help="Also list the numbers that --metric does not name.")
@output_option
def metrics(dag: str, limit: int, every: bool, form: str) -> None:
    """Show the metrics of the latest runs of a DAG.

    A metric is a number that a task stores: a variable that `%%task --metric` names, or any other output that is a
    single number. The table has the variables of --metric, or all metrics if there is no --metric. For a mapped task,
    it shows the mean of the instances, with the lowest and the highest value.
    """
    found = api.metric_history(dag, limit)
    if form != "table":
        print_data(found.to_dict(), form)
        return
    if not found.runs:
        near = similar_dag(found.dag)
        click.echo(f"no runs of {found.dag}" + (f"; did you mean {near}?" if near else ""), err=True)
        return
    shown = [each for each in found.series if every or each.marked] or list(found.series)
    if not shown:
        click.echo("no metrics in these runs; add --metric NAME to the %%task that sets the number", err=True)
        return
    screen = console()
    rows: list[list[Any]] = [
        [run.id, state_text(run.state.value, screen), moment(run.created), *(_point(each, run.id) for each in shown)]
        for run in reversed(found.runs)
    ]
    rows += [
        [title, "", "", *(number_text(best(known)) if (known := _numbers(each)) else "" for each in shown)]
        for title, best in (("lowest", min), ("highest", max))
    ]
    print_table(["run", "state", "created", *(each.label for each in shown)], rows)
    if hidden := len(found.series) - len(shown):
        click.echo(f"--all shows {plural(hidden, 'more metric')}", err=True)


def _point(series: MetricSeries, run: str) -> str:
    point = series.points.get(run)
    if point is None:
        return ""
    several = f" ({number_text(point.lowest)} to {number_text(point.highest)})" if point.count > 1 else ""
    return number_text(point.value) + several


def _numbers(series: MetricSeries) -> list[float]:
    return [point.value for point in series.points.values() if not math.isnan(point.value)]


def _print_all(found: ComparedRuns) -> None:
    screen = console()

    def state(text: Any) -> Any:
        return "" if text is None else state_text(text, screen) if ", " not in text else text

    shown = [
        _section("metric", found.metrics, _number, change=_difference),
        _section("parameter", found.parameters, _parameter, only_changes=True),
        _section("state", found.states, state, only_changes=True),
        _section("duration", found.durations, duration, change=_seconds),
        # A large value is shown as a summary. Different values can have the same summary, so the row says "differs".
        _section(
            "value",
            [replace(each, after=f"{each.after} (differs)") if each.same else each for each in found.values],
            _value,
        ),
    ]
    if not any(shown):
        click.echo("nothing else differs")


def _section(
    title: str,
    changes: Iterable[Any],
    text: Callable[[Any], Any],
    *,
    only_changes: bool = False,
    change: Callable[[Any, Any], str] | None = None,
) -> bool:
    """Print a table of changes; return whether it has a row."""
    rows = []
    for each in changes:
        if only_changes and each.same:
            continue
        name = each.name if not each.task or each.task == each.name else f"{each.task}.{each.name}"
        more = [] if change is None else ["" if None in (each.before, each.after) else change(each.before, each.after)]
        rows.append([name, text(each.before), text(each.after), *more])
    if rows:
        click.echo()
        print_table([title, "before", "after", *([] if change is None else ["change"])], rows)
    return bool(rows)


def _value(value: Any) -> str:
    return "" if value is None else str(value)


def _parameter(value: Any) -> str:
    return "(default)" if value is None else str(value)


def _number(value: Any) -> str:
    return "" if value is None else number_text(float(value))


def _difference(before: Any, after: Any) -> str:
    if before == after or isinstance(before, str) or isinstance(after, str):
        return ""
    percent = f" ({(after - before) / abs(before):+.1%})" if before else ""
    return f"{after - before:+.4g}{percent}"


def _seconds(before: float, after: float) -> str:
    sign = "+" if after >= before else "-"
    return f"{sign}{duration(abs(after - before))}"
