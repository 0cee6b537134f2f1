"""Headers as forms: the table of all options, and functions that read a form from a cell and write it into the cell.

The values of a form are the words of the header without their quotes. Only the parser of headers decides which values
are valid. Each error names the field to which it belongs. A comment at the end of a header is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ... import operators
from ...core.cells.header import MAGICS, OPTIONS, Header, HeaderError, complete, format, help, parse, word_start
from ...core.cells.header import is_header as is_header_line
from ...core.options.declaration import Option
from ...core.options.operator_options import help_of_operators, options_of_operator
from ...core.options.option_types import Kind, quote
from ...core.options.option_types import split as split_words
from ...core.options.options import DagOptions, TaskOptions
from ...session.document import split
from .analysis import header_lines
from .messages import (
    CompleteHeaderRequest,
    FormatHeaderRequest,
    FormattedHeader,
    HeaderCompletions,
    HeaderForm,
    HeaderProblem,
    OperatorInfo,
    OptionInfo,
    OptionTable,
    ParseHeaderRequest,
)

_MAX_CHOICES = 40  # maximum number of values in a menu; longer lists, such as time zones, become suggestions
_NO_CHOICE = "?"  # a text that no option accepts as a value
_OFF = ["no"]  # the value of a flag that the header turns off


def option_table() -> OptionTable:
    """Return all options of headers, including the options of operators, and the help of nbdag's magics."""
    installed: list[OperatorInfo] = [
        {"name": each.name, "summary": each.summary, "options": [_option_info(option) for option in each.options]}
        for each in help_of_operators()
    ]
    magics = {magic: help(kind) for kind, magic in MAGICS.items()} | {"%%dag": help("dag")}
    return {
        "task": [_option_info(each) for each in OPTIONS["task"]],
        "dag": [_option_info(each) for each in OPTIONS["dag"] if not each.is_default],
        "operators": installed,
        "magics": magics,
    }


def parse_header(request: ParseHeaderRequest) -> HeaderForm:
    """Return the fields of a cell's header. If the header is invalid, return its problems instead."""
    text, _ = split(request["source"])
    operator = request.get("operator", "python")
    empty: HeaderForm = {"kind": "", "name": "", "operator": operator, "values": {}, "problems": []}
    if not text:
        return empty
    kind = _kind_of(text)
    try:
        header = parse(text, default_operator=operator)
    except HeaderError as error:
        problems: list[HeaderProblem] = [
            {"flag": _flag_in(each), "message": _sentence(each)} for each in (error, *error.others)
        ]
        return {**empty, "kind": kind, "name": _first_word(text), "problems": problems}
    values: dict[str, list[str]] = {}
    used = str(header.options.get("operator", operator))
    for option in _options(kind, used):
        given = _given(header, option)
        if given is not None:
            values[option.flag] = _words(option.kind, given[0])
    return {**empty, "kind": kind, "name": header.name or "", "operator": used, "values": values}


def format_header(request: FormatHeaderRequest) -> FormattedHeader:
    """Return the edit that writes a form into its cell, or the problems of its fields."""
    kind, name, values = request["kind"], request["name"].strip(), request["values"]
    default = request.get("operator", "python")
    operator = (values.get("operator") or [default])[0]
    problems: list[HeaderProblem] = []
    for flag, words in values.items():
        problems += _field_problems(kind, flag, words, operator, default)
    magic = MAGICS.get(kind)
    if kind == "dag" and request["source"].lstrip().startswith("%%dag"):
        magic = "%%dag"  # a %%dag cell keeps its kind of header
    if magic is None:
        problems.append({"flag": "", "message": f"unknown kind of header {kind!r}"})
    if magic is None or problems:
        return {"edit": None, "problems": problems}
    line = " ".join([magic, *([quote(name)] if name else []), *_line(values, _options(kind, operator))])
    try:
        text = format(parse(line, default_operator=default), default_operator=default)
    except HeaderError as error:
        flag = _flag_in(error) or ("name" if kind == "task" and not name else "")
        return {"edit": None, "problems": [{"flag": flag, "message": _sentence(error)}]}
    comment = _comment(split(request["source"])[0])
    lines = header_lines(request["source"])
    last = "" if lines == len(request["source"].split("\n")) else "\n"
    return {
        "edit": {"lines": lines, "text": text + comment + last, "tags": request["tags"], "name": name},
        "problems": [],
    }


def complete_header(request: CompleteHeaderRequest) -> HeaderCompletions:
    """Return the completions at the cursor in a header line, each with the help of its option."""
    text, cursor = request["text"], request["cursor"]
    found = complete(text, cursor, request["tasks"], operators.names()) if is_header_line(text) else []
    kind = _kind_of(text)
    known = {f"--{option.flag}": option.help for option in _all_options(kind)}
    return {
        "start": word_start(text, cursor),
        "items": [{"text": each, "help": known.get(each.replace("--no-", "--"), "")} for each in found],
    }


def _option_info(option: Option) -> OptionInfo:
    known = operators.names() if option.kind.operators else option.kind.choices()
    choices = [each.strip("'") for each in (sorted(known) if isinstance(known, set) else known)]
    is_open = option.kind.commas or len(choices) > _MAX_CHOICES or _accepts(option.kind, _NO_CHOICE)
    return {
        "flag": option.flag,
        "help": option.help,
        "group": option.group.removesuffix(" (headless runs)"),
        "metavar": option.kind.metavar,
        "default": _default(option),
        "flag_only": option.kind.flag,
        "many": option.kind.many or (option.kind.repeat and option.kind.join is None),
        "tasks": option.kind.tasks,
        "choices": [] if is_open and not option.kind.operators else choices,
        "suggestions": choices if is_open and not option.kind.operators else [],
    }


def _accepts(kind: Kind, text: str) -> bool:
    try:
        kind.read(text)
    except ValueError:
        return False
    return True


def _default(option: Option) -> str:
    fields = {**_DEFAULTS[DagOptions], **_DEFAULTS[TaskOptions]} if option.default is None else {}
    value = option.default if option.default is not None else fields.get(option.field)
    return "" if value is None or value == () or isinstance(value, bool) else str(option.kind.write(value))


_DEFAULTS: dict[type, Mapping[str, object]] = {
    each: {name: getattr(each(), name) for name in each.__dataclass_fields__} for each in (DagOptions, TaskOptions)
}


def _options(kind: str, operator: str) -> tuple[Option, ...]:
    own = options_of_operator(operator) if kind == "task" else ()
    return tuple(each for each in OPTIONS.get(kind, ()) if not each.is_default) + own


def _all_options(kind: str) -> list[Option]:
    return [*OPTIONS.get(kind, ()), *(option for each in help_of_operators() for option in each.options)]


def _given(header: Header, option: Option) -> tuple[object] | None:
    """Return the value of an option in a tuple, or None if the header does not set the option."""
    own = dict(header.options.get("operator_options", ()))
    for found in (header.options, own):
        if option.field in found:
            return (found[option.field],)
    return None


def _words(kind: Kind, value: object) -> list[str]:
    if kind.flag:
        return [] if value else _OFF
    if value is None:
        return ["none"]
    if kind.many or (kind.repeat and not kind.join):
        assert isinstance(value, tuple)
        return [kind.write(each) for each in value]
    return [kind.write(value)]


def _line(values: Mapping[str, Sequence[str]], options: Sequence[Option]) -> list[str]:
    """Convert the values of a form to the words of a header line."""
    known = {option.flag: option for option in options}
    words: list[str] = []
    for flag, given in values.items():
        option = known.get(flag)
        if option is not None and option.kind.flag:
            words.append(f"--no-{flag}" if list(given) == _OFF else f"--{flag}")
        elif option is not None and option.kind.repeat:
            words += [word for each in given for word in (f"--{flag}", quote(each))]
        else:
            words += [f"--{flag}", *map(quote, given)]
    return words


def _field_problems(kind: str, flag: str, words: Sequence[str], operator: str, default: str) -> list[HeaderProblem]:
    """Return the problems of one field, by parsing a header that has only this field."""
    magic = MAGICS.get(kind, "")
    own = {each.flag for each in options_of_operator(operator)} if kind == "task" else set()
    chosen = {"operator": [operator]} if flag in own and operator != default else {}
    line = " ".join(
        [magic, *(["x"] if kind == "task" else []), *_line({**chosen, flag: words}, _options(kind, operator))]
    )
    try:
        parse(line, default_operator=default)
    except HeaderError as error:
        return [{"flag": flag, "message": _sentence(each)} for each in (error, *error.others)]
    return []


def _sentence(error: HeaderError) -> str:
    return f"{error.message}{error.advice}"


def _flag_in(error: HeaderError) -> str:
    found = re.search(r"--(?:no-)?([\w-]+)", error.message)
    return found[1] if found else "name" if "name" in error.message else ""


def _kind_of(text: str) -> str:
    found = re.match(r"\s*%%?(\w+)", text)
    return found[1] if found else ""


def _first_word(text: str) -> str:
    found = re.match(r"\s*%%?\w+\s+([A-Za-z_][\w.-]*)", text)
    return found[1] if found else ""


def _comment(header: str) -> str:
    """Return the comment at the end of a header, after two blanks, or "" if there is none."""
    text = re.sub(r"\\\r?\n", " ", header)
    start = text.index("%") + len(_kind_of(text)) + 2 if "%" in text else 0
    try:
        words = split_words(" " * start + text[start:])
    except ValueError:
        return ""
    end = words[-1].start + len(words[-1].raw) if words else start
    comment = text[end:].strip()
    return f"  {comment}" if comment.startswith("#") else ""
