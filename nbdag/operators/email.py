"""The operator `email`: a cell that is a message, sent by apprise.

    %%task report --operator email --to team@example.com --subject "Accuracy {accuracy:.1%}" --connection smtp
    The model of {day} is trained. Its accuracy is {accuracy:.1%}.

`{name}` and `{name:format}` are values of the notebook, in the body, --subject and --to. --to accepts addresses and
URLs of apprise. For addresses, --connection names the host and login of an SMTP server. URLs of apprise, such as
slack://… or mailto://…, send to any service that apprise supports. The message is sent whenever the cell runs, also in
the notebook.
"""

from __future__ import annotations

import glob
import html
import re
from importlib import import_module
from typing import Any
from urllib.parse import quote, urlencode

from .. import secrets
from ..core.model.secret_names import masked_recipient
from ..core.options import option_types
from ..core.options.operator_options import operator_option
from ..core.options.options import TaskOptions
from ..errors import NbdagError, error
from ..task_api.context import current
from ..templates import is_template
from .base import OperatorError
from .bodies.calls import Piece, Source, fields, filled, write_call, write_pieces
from .bodies.rendering import rendered
from .tasks import Operator

_ADDRESS = re.compile(r"[^@\s:/]+@[^@\s:/]+")
_SMTP_TLS = 465


@error
class EmailError(NbdagError):
    """A message cannot be sent."""

    reason: str
    hint: str
    template = "{reason}; {hint}"

    def _render_traceback_(self) -> list[str]:
        # IPython calls this method. The traceback is omitted, because it shows no code of the user.
        return [f"{type(self).__name__}: {self}"]


def _read_recipient(text: str) -> str:
    if not _ADDRESS.fullmatch(text) and "://" not in text and not fields(text) and not is_template(text):
        raise ValueError("is not an address; write name@example.com or a URL of apprise")
    return text


class Email(Operator):
    """Translates a message into a call of `send`."""

    summary = (
        "The body is a message; {name:format} is a value of the notebook, in --subject and --to too. It is sent "
        "whenever the cell runs, to addresses (through --connection) or to URLs of apprise."
    )
    example = (
        '%%task report --operator email --connection smtp --to team@example.com --subject "Day {day}"\n'
        "The model is trained. Its accuracy is {accuracy:.1%}."
    )
    own_options = (
        operator_option(
            "to",
            option_types.Kind(metavar="ADDRESS…", read=_read_recipient, many=True),
            "addresses, or URLs of apprise",
            default=(),
            recipients=True,
        ),
        operator_option("subject", option_types.TEXT, "title of the message; default the name of the pipeline"),
        operator_option("connection", option_types.NAME, "name of a connection: the SMTP server that addresses need"),
        operator_option(
            "attach",
            option_types.Kind(metavar="FILE…", read=str, many=True),
            "paths or patterns of files to attach",
            default=(),
        ),
        operator_option(
            "format",
            option_types.choice("FORMAT", "text", "html", "markdown"),
            "of the body; default text",
            default="text",
        ),
    )

    def source(self, body: str, options: TaskOptions) -> str:
        given = self.given(options)
        if not given["to"]:
            raise OperatorError("the message has no recipient", hint="add --to name@example.com to the header")
        if not body.strip():
            raise OperatorError("the message is empty", hint="write its text below the header")
        if options.out:
            raise OperatorError("a message has no result for --out", hint="remove --out")
        keywords: dict[str, Any] = {name: value for name, value in given.items() if value not in (None, (), "text")}
        keywords["to"] = Source(f"({', '.join(_pieces(each, '--to') for each in given['to'])},)")
        if given["subject"]:
            keywords["subject"] = Source(_pieces(given["subject"], "--subject"))
        pieces = write_pieces(body, fields(body), what="the message")
        return f"{write_call('nbdag.operators.email:send', pieces, **keywords)};"


def _pieces(text: str, what: str) -> str:
    return f"({', '.join(write_pieces(text, fields(text), what=what))},)"


# -- when the task runs ------------------------------------------------------------------------------------------------


def send(
    *pieces: Piece,
    to: tuple[tuple[Piece, ...], ...],
    subject: tuple[Piece, ...] = (),
    connection: str | None = None,
    attach: tuple[str, ...] = (),
    format: str = "text",
) -> None:
    """Send a message to all recipients. Raise `EmailError` if one of them cannot be reached."""
    try:
        apprise = import_module("apprise")
    except ImportError:
        raise EmailError("apprise is not installed", "pip install 'nbdag[notify]'") from None
    text = filled(pieces, lambda value, before: html.escape(value) if format == "html" else value, what="the message")
    given = filled(subject, what="--subject") if subject else current().dag_id
    title = " ".join(given.split())  # on one line, because a line break would end the header of a mail
    files = _files(attach)
    for recipient in (filled(each, what="--to") for each in to):
        service = apprise.Apprise()
        if not service.add(recipient if "://" in recipient else _mail_url(recipient, connection)):
            shown = masked_recipient(recipient)
            raise EmailError(f"apprise does not know the kind of {shown}", "see https://appriseit.com/services")
        sent = service.notify(
            body=text, title=title, body_format=format, attach=apprise.AppriseAttachment(files) if files else None
        )
        if not sent:
            raise EmailError(
                f"the message to {masked_recipient(recipient)} was not sent", "check the address and the server"
            )
        print(f"sent to {masked_recipient(recipient)}")


def _files(patterns: tuple[str, ...]) -> list[str]:
    found = []
    for pattern in (rendered(each, "--attach") for each in patterns):
        paths = sorted(glob.glob(pattern))  # noqa: PTH207  # `Path.glob` accepts no absolute pattern
        if not paths:
            raise EmailError(f"no file matches {pattern!r} of --attach", "check the path")
        found += paths
    return found


def _mail_url(address: str, connection: str | None) -> str:
    """Return the URL with which apprise sends a mail through the server of a connection."""
    if connection is None:
        hint = "add --connection NAME, the server that sends it, or write a URL such as mailto://user:password@host"
        raise EmailError(f"{address} is an address of mail", hint)
    found = secrets.connection(connection)
    port = int(found.port or 25)
    scheme = "mailtos" if port in (_SMTP_TLS, 587) else "mailto"
    sender = found.extra.get("from")
    given = {"smtp": found.host, "to": address, "from": sender or found.login or address}
    if port == _SMTP_TLS:
        given["mode"] = "ssl"  # this port uses TLS from the first byte, but apprise would use STARTTLS
    login = f"{quote(found.login, safe='')}:{quote(found.password or '', safe='')}@" if found.login else ""
    return f"{scheme}://{login}{found.host}:{port}?{urlencode(given)}"
