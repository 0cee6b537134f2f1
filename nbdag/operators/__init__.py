"""Operators translate the body of a task's cell (the text below the header) into Python source.

`python` returns the body unchanged, `sensor` polls until its last expression is true, `bash` runs a script, `sql` runs
statements. Each operator is one module of this package. A new operator needs few lines. For example, the operator
`shout` prints its body as often as its own option `times` says:

    from nbdag.operators import Operator, kinds, option

    class Shout(Operator):
        summary = "The body is a text, which is printed in capitals."
        own_options = (option("times", kinds.integer(1), "how often; default once", default=1),)

        def source(self, body, options):
            return f'print({body.upper()!r} * {self.given(options)["times"]})' + "\\n" * body.count("\\n")

An entry point in the package's metadata makes the operator available to every command:

    [project.entry-points."nbdag.operators"]
    shout = "mypackage.operators:Shout"

Then `%%task a --operator shout --times 2` is valid. Only this operator has the options in `own_options`. They work in
headers, in `%%task?`, in completion, in the cache key, and as keywords in `%%dag` cells. A header with another
operator's option is an error. A program that reads and runs notebooks may call
`nbdag.operators.register("shout")(Shout)` instead. In a `%%dag` cell, the class creates tasks:
`Shout("hello", "good morning", times=2)`. For this, the class need not be installed; the notebook itself may define it.
Module `tasks` implements the creation of tasks, `registry` finds operators by name, `value_writer` writes values of the
`%%dag` cell as source, `calls` writes a body in another language as one call.

Rules for an operator: Line n of the returned source corresponds to line n of the body, so that tracebacks show the
user's lines. The source is Python with IPython's extensions and is analysed like any cell: other tasks may provide the
names that it reads. A value must never become part of a text that another program parses: `calls` passes values
separately. The source imports what it needs from the operator's package, because it runs in another process. If a body
cannot be translated, the operator raises `OperatorError` with the line. An operator is called whenever a notebook is
read, so it must access neither files nor the network, and import little.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..core.options import option_types as kinds
from ..core.options.operator_options import operator_option as option
from .base import BodyWarning, OperatorError, known_names, pull_source
from .registry import (
    BUILT_IN,
    GROUP,
    OFFERED,
    UnknownOperatorError,
    body_warnings,
    find,
    help_of,
    is_sensor,
    name_of,
    names,
    offered,
    options_of,
    register,
    source,
)

if TYPE_CHECKING:
    from .bash import Bash
    from .email import Email
    from .empty import Empty
    from .file_sensor import FileSensor
    from .http import Http
    from .notebook import Notebook
    from .python import Python
    from .sensor import Sensor
    from .sql import Sql
    from .sql_sensor import SqlSensor
    from .tasks import Operator, chain
    from .trigger import Trigger

__all__ = [
    "BUILT_IN",
    "GROUP",
    "OFFERED",
    "Bash",
    "BodyWarning",
    "Email",
    "Empty",
    "FileSensor",
    "Http",
    "Notebook",
    "Operator",
    "OperatorError",
    "Python",
    "Sensor",
    "Sql",
    "SqlSensor",
    "Trigger",
    "UnknownOperatorError",
    "body_warnings",
    "chain",
    "find",
    "help_of",
    "is_sensor",
    "kinds",
    "known_names",
    "name_of",
    "names",
    "offered",
    "option",
    "options_of",
    "pull_source",
    "register",
    "source",
]


def __getattr__(name: str) -> Any:
    if name not in OFFERED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, member = OFFERED[name].partition(":")
    return getattr(import_module(module), member)
