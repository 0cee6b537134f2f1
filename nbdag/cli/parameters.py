"""Options that set parameters, as on papermill's command line: the same letters, types and precedence.

`-p NAME VALUE` converts the value to the type that the parameters cell declares. Without a declared type, the type is
inferred (True, False, None, int, float, else str). `-r NAME TEXT` sets a string. `-y` takes YAML, `-f` a YAML or JSON
file, and `-b` YAML in base64. The precedence, lowest first, is -b, -f, -y, -p, -r. Dates remain texts, as in papermill,
unless the parameter's type is a date.
"""

from __future__ import annotations

import base64
import keyword
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from ..core.cells.parameter_types import FromText
from .options import not_an_option

F = TypeVar("F", bound=Callable[..., Any])

_MAX_FILE = 64 << 20  # maximum size in bytes of a file of parameters

_NOT_AN_OPTION = not_an_option("-y '{name}: {value}'")
_OPTIONS = (
    click.option(
        "-p",
        "--parameters",
        nargs=2,
        multiple=True,
        metavar="NAME VALUE",
        callback=_NOT_AN_OPTION,
        help="Set a parameter to a number, True, False, None or a string; use -y for lists and mappings. The value of "
        "a secret parameter is not stored with the run; secret:NAME gives it by the name of a secret.",
    ),
    click.option(
        "-r",
        "--parameters_raw",
        nargs=2,
        multiple=True,
        metavar="NAME TEXT",
        callback=_NOT_AN_OPTION,
        help="Set a parameter to a string.",
    ),
    click.option("-f", "--parameters_file", multiple=True, metavar="FILE", help="Set parameters from a YAML file."),
    click.option("-y", "--parameters_yaml", multiple=True, metavar="YAML", help="Set parameters from YAML."),
    click.option(
        "-b", "--parameters_base64", multiple=True, metavar="BASE64", help="Set parameters from YAML in base64."
    ),
)


def parameter_options(command: F) -> F:
    """Add papermill's five options for parameters."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def parameters(
    *,
    parameters: Sequence[tuple[str, str]] = (),
    parameters_raw: Sequence[tuple[str, str]] = (),
    parameters_file: Sequence[str] = (),
    parameters_yaml: Sequence[str] = (),
    parameters_base64: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the parameters that the five options set together."""
    values: dict[str, Any] = {}
    for text in parameters_base64:
        try:
            plain = base64.b64decode(text, validate=True).decode()
        except ValueError:  # invalid base64 also raises ValueError
            raise click.BadParameter(f"{text[:40]!r} is not text in base64", param_hint="-b") from None
        values.update(_mapping(plain, "-b"))
    for file in parameters_file:
        try:
            with Path(file).open("rb") as opened:
                content = opened.read(_MAX_FILE + 1)
            if len(content) > _MAX_FILE:
                raise ValueError(f"the file is larger than {_MAX_FILE >> 20} MB")
            plain = content.decode()
        except (OSError, ValueError) as error:
            reason = str(getattr(error, "strerror", None) or error).lower()
            reason = "the file is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else reason
            raise click.BadParameter(f"cannot read {file}: {reason}", param_hint="-f") from None
        values.update(_mapping(plain, f"-f {file}"))
    for text in parameters_yaml:
        values.update(_mapping(text, "-y"))
    for name, text in parameters:
        values[name] = FromText(text)
    values.update(parameters_raw)
    for name in values:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise click.BadParameter(f"{name!r} is not a valid variable name", param_hint="parameters")
    return values


def _mapping(text: str, where: str) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.load(text, Loader=_loader())
    except RecursionError:
        raise click.BadParameter("invalid YAML: it is nested too deeply", param_hint=where) from None
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        # The YAML loader raises these for an invalid number, for example.
        reason = str(error).partition("\n")[0][:80]
        raise click.BadParameter(f"invalid YAML: {reason}", param_hint=where) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or "the text cannot be parsed"
        raise click.BadParameter(f"invalid YAML{line}: {reason}", param_hint=where) from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise click.BadParameter(
            f"expected a mapping of names to values, such as 'alpha: 0.5', not {type(values).__name__}",
            param_hint=where,
        )
    return {str(name): value for name, value in values.items()}


def _loader() -> Any:
    """Return YAML's safe loader, changed to keep dates as strings, because notebook metadata (JSON) has no dates."""
    import yaml

    resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:timestamp"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return type("WithoutDates", (yaml.SafeLoader,), {"yaml_implicit_resolvers": resolvers})
