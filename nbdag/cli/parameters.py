"""Parameters as papermill's command line takes them: the same letters, the same types, the same precedence.

`-p NAME VALUE` guesses the type (True, False, None, whole number, number, else text), `-r NAME TEXT` does not, `-y` is
YAML, `-f` a YAML or JSON file, `-b` YAML in base64. Later in this list wins: -b, -f, -y, -p, -r. Dates stay text, as
papermill keeps them.
"""

from __future__ import annotations

import base64
import binascii
import keyword
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "-p",
        "--parameters",
        nargs=2,
        multiple=True,
        metavar="NAME VALUE",
        help="Set a parameter to a number, True, False, None or a text; -y sets lists and mappings.",
    ),
    click.option(
        "-r",
        "--parameters_raw",
        nargs=2,
        multiple=True,
        metavar="NAME TEXT",
        help="Set a parameter to a text as it is.",
    ),
    click.option("-f", "--parameters_file", multiple=True, metavar="FILE", help="Set parameters from a YAML file."),
    click.option("-y", "--parameters_yaml", multiple=True, metavar="YAML", help="Set parameters from YAML."),
    click.option(
        "-b", "--parameters_base64", multiple=True, metavar="BASE64", help="Set parameters from YAML in base64."
    ),
)


def parameter_options(command: F) -> F:
    """Papermill's five ways to set parameters."""
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
    """What the five options say together."""
    said: dict[str, Any] = {}
    for text in parameters_base64:
        try:
            plain = base64.b64decode(text, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise click.BadParameter(f"{text[:40]!r} is not base64 of a text", param_hint="-b") from None
        said.update(_mapping(plain, "-b"))
    for file in parameters_file:
        try:
            plain = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise click.BadParameter(f"cannot read {file}: {why}", param_hint="-f") from None
        said.update(_mapping(plain, f"-f {file}"))
    for text in parameters_yaml:
        said.update(_mapping(text, "-y"))
    for name, text in parameters:
        said[name] = typed(text)
    said.update(parameters_raw)
    for name in said:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise click.BadParameter(f"{name!r} cannot be the name of a variable", param_hint="parameters")
    return said


def typed(text: str) -> Any:
    """The value that papermill takes a text for."""
    words = {"True": True, "False": False, "None": None}
    if text in words:
        return words[text]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    return text


def _mapping(text: str, where: str) -> dict[str, Any]:
    import yaml

    try:
        said = yaml.load(text, Loader=_loader())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) or "it cannot be read"
        raise click.BadParameter(f"this is not YAML{line}: {why}", param_hint=where) from None
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise click.BadParameter(
            f"a mapping of names to values is needed, such as 'alpha: 0.5', not {type(said).__name__}", param_hint=where
        )
    return {str(name): value for name, value in said.items()}


def _loader() -> Any:
    """YAML's safe loader without its dates: JSON has none, and parameters go into a notebook's metadata."""
    import yaml

    resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:timestamp"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return type("WithoutDates", (yaml.SafeLoader,), {"yaml_implicit_resolvers": resolvers})
