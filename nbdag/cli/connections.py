"""`connections list|test`: list the connections that this machine knows, and test them."""

from __future__ import annotations

from dataclasses import asdict

import click
from click.shell_completion import CompletionItem

from .. import runs
from ..errors import NbdagError
from ._group import examples
from .output import duration, output_option, print_data, print_table


def _names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    try:
        known = runs.list_connections()
    except NbdagError:
        return []
    return [CompletionItem(each.name) for each in known if each.name.startswith(incomplete)]


@click.group(
    epilog=examples(
        ("export NBDAG_CONN_WAREHOUSE=postgresql://me:password@db/sales", ""),
        ("nbdag connections list", "list the known connections"),
        ("nbdag connections test warehouse", "connect and report the result"),
    )
)
def connections() -> None:
    """List and test the connections that notebooks use by name.

    In a cell, `nbdag.connection("warehouse")` is a connection, `nbdag.secret("API_TOKEN")` a secret, and
    `nbdag.variable("region")` a setting. Each is looked up in the environment (NBDAG_CONN_WAREHOUSE,
    NBDAG_SECRET_API_TOKEN, NBDAG_VAR_REGION; Airflow's AIRFLOW_CONN_… and AIRFLOW_VAR_… too), then under the same name
    in the file .env beside the home (or the file NBDAG_ENV_FILE), in backends of installed packages, and in the
    system's keyring (`keyring set nbdag NBDAG_CONN_WAREHOUSE`). A connection is a URI or a JSON object, as in Airflow.

    Secret values are shown as *** in outputs, logs, notebooks, reports, errors and notifications, even if they are
    encoded or printed in pieces. Not masked are values of fewer than 4 characters, images, data computed from a value,
    files that a task writes, and the stored value of a variable that another task reads.
    """


@connections.command(
    name="list", epilog=examples(("nbdag connections list -o json", "list the connections, for a script"))
)
@output_option
def list_(form: str) -> None:
    """List the known connections, without passwords. Connections in a keyring cannot be listed."""
    found = runs.list_connections()
    if form != "table":
        print_data([each.to_dict() for each in found], form)
        return
    rows = []
    for each in found:
        shown = each.to_dict()
        fields = [str(shown.get(name) or "") for name in ("conn_type", "host", "port", "login", "schema")]
        rows.append([each.name, *fields, each.error or each.source])
    print_table(["connection", "type", "host", "port", "login", "schema", "source"], rows)


@connections.command(
    epilog=examples(
        ("nbdag connections test", "test all known connections"),
        ("nbdag connections test api -o json", "test one connection and print the result as JSON, for a script"),
    )
)
@click.argument("names", nargs=-1, shell_complete=_names)
@output_option
def test(names: tuple[str, ...], form: str) -> None:
    """Connect to databases and web services, and report the results.

    A database passes if it answers a query. A web service passes if it answers a request, unless the answer rejects the
    login or reports a server error. Other types are not tested. Exits with 1 if a connection failed, or if a named
    connection was not tested.
    """
    results = runs.test_connections(names)
    if form != "table":
        print_data([asdict(each) for each in results], form)
    else:
        rows = [[each.name, each.conn_type, each.state, duration(each.seconds), each.message] for each in results]
        print_table(["connection", "type", "result", "time", "message"], rows)
    bad = ("failed", "untested") if names else ("failed",)
    if any(each.state in bad for each in results):
        raise click.exceptions.Exit(1)
