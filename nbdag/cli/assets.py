"""`assets list|events|emit|graph`: show and create versions of data that tasks produce and schedules wait for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from .. import runs
from ..core.model.text import join_names
from ..core.schedule.assets import label
from ..errors import NbdagError
from ._group import examples
from .options import not_an_option
from .output import output_option, overwrite_option, print_data, print_table, write_picture


def _names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    try:
        return [CompletionItem(each.name) for each in runs.list_assets() if each.name.startswith(incomplete)]
    except NbdagError:
        return []


@click.group(
    epilog=examples(
        ("nbdag assets list", "each asset, with the pipelines that produce and need it"),
        ("nbdag assets events s3://lake/orders", "the versions of the asset, and the runs that they started"),
        ("nbdag assets emit s3://lake/orders", "start the pipelines that wait for new data of this asset"),
        ("nbdag assets graph -f lineage.svg", "draw how data flows between the deployed pipelines"),
    )
)
def assets() -> None:
    """Show assets: the data that starts pipelines, and its versions.

    A task with --produces ASSET that succeeds creates a new version of the asset. A pipeline whose schedule is "on
    ASSET" then runs. Such a schedule may combine assets with "and" and "or", and may add a time with "or at 06:00". The
    schedule "after churn" runs a pipeline after each successful run of the pipeline churn. The schedule "on
    file:data/orders.csv" watches a file. A task with --consumes ASSET reads an asset, which starts nothing.
    """


@assets.command(name="list", epilog=examples(("nbdag assets list -o json", "list the assets, for a script")))
@output_option
def list_(form: str) -> None:
    """List the assets, with their newest versions."""
    found = runs.list_assets()
    if form != "table":
        print_data([each.to_dict() for each in found], form)
        return
    if not found:
        click.echo("no asset is known; name one in --produces ASSET of a task, or in a schedule 'on ASSET'", err=True)
        return
    print_table(
        ["asset", "versions", "newest", "produced by", "needed by", "read by"],
        [
            [
                label(each.name),
                str(each.versions),
                "" if each.latest is None else _moment(each.latest),
                join_names([f"{dag}.{task}" for dag, task in each.producers]),
                join_names(each.consumers),
                join_names([f"{dag}.{task}" for dag, task in each.readers]),
            ]
            for each in found
        ],
    )


@assets.command(
    epilog=examples(
        ("nbdag assets events", "the newest versions of all assets"),
        ("nbdag assets events s3://lake/orders -n 5", "the five newest versions of one asset"),
    )
)
@click.argument("asset", required=False, shell_complete=_names)
@click.option(
    "-n",
    "number",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="Maximum number of events to show.",
)
@output_option
def events(asset: str | None, number: int, form: str) -> None:
    """List versions of an asset, newest first, and the runs that they started."""
    found = runs.asset_events(asset, limit=number)
    if form != "table":
        print_data([each.to_dict() for each in found], form)
        return
    if not found:
        click.echo("no asset has a version yet", err=True)
        return
    print_table(
        ["at", "asset", "from", "facts", "started"],
        [
            [
                _moment(each.at),
                label(each.asset),
                _source(each),
                ", ".join(f"{name}={value}" for name, value in each.extra.items()),
                join_names([f"{dag} {run}" for dag, run in each.started.items()]),
            ]
            for each in found
        ],
    )


@assets.command(
    epilog=examples(
        ("nbdag assets emit s3://lake/orders", "start the pipelines that wait for the asset"),
        ("nbdag assets emit s3://lake/orders -e rows 120", "also record a fact about the new version"),
    )
)
@click.argument("asset", shell_complete=_names)
@click.option(
    "-e", "--extra", "extra", nargs=2, multiple=True, metavar="NAME VALUE",
    callback=not_an_option("-e {name} '\"{value}\"'"),
    help="A fact about the new version, as text or JSON. The started runs find the fact in dag_run.asset_events.",
)  # fmt: skip
def emit(asset: str, extra: tuple[tuple[str, str], ...]) -> None:
    """Record a new version of an asset by hand."""
    consumers = runs.emit_asset(asset, {name: _value(text) for name, text in extra})
    if not consumers:
        click.echo(f"{asset} has a new version; no deployed pipeline waits for it")
        return
    click.echo(f"{asset} has a new version; {join_names(consumers)} may run")
    if runs.live_scheduler() is None:
        click.echo("no scheduler is running; 'nbdag scheduler' starts the runs", err=True)


@assets.command(
    epilog=examples(
        ("nbdag assets graph", "print the graph as Mermaid text"),
        ("nbdag assets graph -f lineage.svg", "draw it"),
        ("nbdag assets graph -o json", "print nodes and edges as JSON, for a script"),
    )
)
@click.option(
    "-f", "--file", "path", type=click.Path(dir_okay=False, path_type=Path), help="File to write: .svg, .dot or .mmd."
)
@output_option
@overwrite_option("assets graph")
def graph(path: Path | None, form: str, overwrite: bool) -> None:
    """Draw how data flows between the deployed pipelines.

    An earlier drawing in FILE is replaced, any other file only with --overwrite.
    """
    found = runs.lineage()
    if form != "table":
        print_data(found.to_dict(), form)
        return
    from ..graphs import FormatError
    from ..graphs.lineage import LINEAGE_FORMATS, lineage_picture

    format = "mmd" if path is None else path.suffix.lstrip(".")
    if format not in LINEAGE_FORMATS:
        raise FormatError(format, LINEAGE_FORMATS)
    text = lineage_picture(found.dags, found.assets, found.edges, format)
    if path is None:
        click.echo(text, nl=False)
    else:
        write_picture(path, text.encode(), "assets graph", overwrite)
        click.echo(path)


def _source(version: runs.AssetVersion) -> str:
    if version.dag is None:
        return "a file" if "changed" in version.extra else "by hand"
    task = "" if version.task is None else f".{version.task}"
    index = f"[{version.map_index}]" if (version.map_index or -1) >= 0 else ""
    return f"{version.dag}{task}{index} in {version.run}"


def _value(text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except ValueError:
        return text


def _moment(at: Any) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S %Z}"
