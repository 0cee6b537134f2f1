"""Parse and format nbdag's magics, for the live notebook, headless runs and the command line.

A header is a line such as `%%task train --retries 2`. It follows the quoting rules of a shell, may end with a comment,
and continues on the next line if it ends with a backslash. `parse(format(header)) == header` for every header that
`parse` returns. For an invalid header, `parse` raises `HeaderError` with the column and, if a word is misspelt, the
most similar valid word. `core.options.options` declares the options, and `core.options.option_types` declares the types
of their values. An operator's own options (`core.options.operator_options`) are valid only in headers of tasks with
this operator.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import dropwhile, groupby, pairwise
from typing import Any
from zoneinfo import ZoneInfo

from ...errors import NbdagError, error
from ..options import option_types
from ..options.declaration import Option
from ..options.operator_options import operators_with, options_of_operator
from ..options.option_help import complete, help, word_start
from ..options.option_types import Word
from ..options.options import OPTIONS, DagOptions, TaskOptions

__all__ = [
    "OPTIONS",
    "Header",
    "HeaderError",
    "complete",
    "dag_options",
    "flag_for_airflow",
    "format",
    "help",
    "is_header",
    "parse",
    "task_options",
    "word_start",
]

# The magic of each kind of header. A cell magic is also accepted with one percent sign. The line magic %dag also exists
# as a cell magic: the code below %%dag builds tasks.
MAGICS: Mapping[str, str] = {
    "task": "%%task",
    "setup": "%%setup",
    "params": "%%params",
    "skip": "%%skip",
    "dag": "%dag",
    "edges": "%edges",
    "nbdag": "%nbdag",
}
_SCHEDULING = ("schedule", "start_date", "end_date", "catchup")
_LINE_ONLY = ("edges", "nbdag")
_HEADER = re.compile(rf"\s*(?P<percent>%%?)(?P<kind>{'|'.join(MAGICS)})(?=\s|\\|$)", re.ASCII)
_EDGE = re.compile(rf"\s*(?:(?P<id>{option_types.ID.pattern})|(?P<sign>>>|<<|[\[\],;])|(?P<comment>#.*)|(?P<bad>\S+))")
# Options that Airflow names differently; key: Airflow's name; value: nbdag's name.
_ALIASES = {
    "catch-up": "catchup",
    "dagrun-timeout": "timeout",
    "depends-on": "after",
    "execution-timeout": "timeout",
    "exponential-backoff": "retry-backoff",
    "poke-interval": "poke",
    "pool-slots": "slots",
    "priority-weight": "priority",
    "retry-exponential-backoff": "retry-backoff",
    "schedule-interval": "schedule",
    "timezone": "tz",
    "trigger-rule": "trigger",
    "upstream": "after",
}


@error
class HeaderError(NbdagError):
    """A header is invalid."""

    message: str
    hint: str = ""  # what the user can do; empty if the message already says this
    magic: str = ""  # the header's magic, such as %%task
    column: int = 1  # column of the error in the header's line, from 1
    others: tuple[HeaderError, ...] = ()  # further errors in the same header
    exit_code = 2
    template = "{place}{message}{advice}"

    @property
    def place(self) -> str:
        """The magic and the column, as a prefix of the message."""
        return f"{self.magic}, column {self.column}: " if self.magic else ""

    @property
    def advice(self) -> str:
        """The hint, as a suffix of the message."""
        return f"; {self.hint}" if self.hint else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The contents of one header line."""

    kind: str  # task, dag, setup, params, skip, edges or nbdag
    name: str | None = None  # the id of the task or of the DAG
    # Key: field of TaskOptions or DagOptions; value: the given value.
    options: Mapping[str, Any] = field(default_factory=dict)
    edges: tuple[tuple[str, str], ...] = ()  # the edges of an %edges line: (upstream task, downstream task)
    rest: str = ""  # the command line after %nbdag
    builds: bool = False  # True for %%dag, where the code below the header builds tasks

    @property
    def is_bare(self) -> bool:
        """Return whether the header consists of the magic alone; a bare %dag draws the graph."""
        return self.name is None and not self.options and not self.edges and not self.rest


def is_header(line: str) -> bool:
    """Return whether a line begins with a magic of nbdag; the header may be invalid."""
    return _HEADER.match(line) is not None


def parse(line: str, *, default_operator: str = "python") -> Header:
    """Parse one header line. Raise `HeaderError` if the line is invalid.

    `default_operator` is the operator of a task whose header names no operator. A %dag line may set this default.
    """
    text = re.sub(r"\\\r?\n", lambda found: " " * len(found.group()), line).rstrip()
    match = _HEADER.match(text)
    if match is None:
        raise HeaderError(f"unknown magic {text.strip()!r}", hint=f"expected one of {', '.join(MAGICS.values())}")
    kind, magic = match["kind"], match["percent"] + match["kind"]
    if "\n" in text or "\r" in text:
        raise HeaderError(
            "the header has several lines", hint="end a line with \\ to continue on the next", magic=magic
        )
    if kind in _LINE_ONLY and match["percent"] == "%%":
        hint = f"write {MAGICS[kind]} with one percent sign, on a line of its own"
        raise HeaderError(f"{magic} is not a cell magic", hint=hint, magic=magic, column=match.start("percent") + 1)
    if kind == "nbdag":
        return Header(kind=kind, rest=text[match.end() :].strip())
    if kind == "edges":
        return Header(kind=kind, edges=_edges(text, match.end()))
    return _Parser(kind, magic, text, match.end(), default_operator).read()


def format(header: Header, *, default_operator: str = "python") -> str:
    """Return the header as a line that `parse` reads back, with the options in the order of the help."""
    parts = [f"%{MAGICS[header.kind]}" if header.builds else MAGICS[header.kind]]
    if header.name is not None:
        parts.append(option_types.quote(header.name))
    options: Mapping[str, Any] = header.options
    for option in OPTIONS.get(header.kind, ()):
        given = options.get("defaults", {}) if option.is_default else options
        if option.field in given:
            parts.extend(_option_words(option, given[option.field]))
    own = dict(options.get("operator_options", ()))
    for option in options_of_operator(options.get("operator", default_operator)) if own else ():
        if option.field in own:
            parts.extend(_option_words(option, own.pop(option.field)))
    if own:
        raise ValueError(f"operator {options.get('operator', default_operator)} has no option {next(iter(own))}")
    if header.edges:
        sources = ((before, [pair[1] for pair in pairs]) for before, pairs in groupby(header.edges, lambda e: e[0]))
        parts.append("; ".join(f"{source} >> {_task_list(targets)}" for source, targets in sources))
    if header.rest:
        parts.append(header.rest)
    return " ".join(parts)


def flag_for_airflow(flag: str) -> str:
    """Return nbdag's name for an option that Airflow names differently, or "" for any other name."""
    return _ALIASES.get(flag, "")


def task_options(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> TaskOptions:
    """Return a task's options.

    Each option comes from the task's header, else from a default in `%dag`, else from nbdag's defaults.
    """
    return TaskOptions(**{**defaults, **given})


def dag_options(header: Header | None = None) -> DagOptions:
    """Return the options of a DAG, or the default options without a header. Dates have the DAG's time zone."""
    given = dict(header.options) if header else {}
    zone = ZoneInfo(given.get("tz", "UTC"))
    for name in ("start_date", "end_date"):
        if given.get(name) is not None:
            given[name] = _aware(given[name], zone)
    return DagOptions(**given)


def _aware(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone) if moment.tzinfo else moment.replace(tzinfo=zone)


def _task_list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"


def _option_words(option: Option, value: Any) -> list[str]:
    """Return the words with which a header line sets this option to this value."""
    flag, kind = f"--{option.flag}", option.kind
    if kind.flag:
        return [flag if value else f"--no-{option.flag}"]
    if value is None:
        return [flag, "none"]
    if kind.many:
        return [flag, *(option_types.quote(kind.write(each)) for each in value)] if value else []
    if kind.repeat and not kind.join:
        return [word for each in value for word in (flag, option_types.quote(kind.write(each)))]
    return [flag, option_types.quote(kind.write(value))]


class _Parser:
    """Parses the name and the options of one header line."""

    def __init__(self, kind: str, magic: str, text: str, at: int, default_operator: str) -> None:
        self.kind = kind
        self.magic = magic
        self.known = {option.flag: option for option in OPTIONS.get(kind, ())}
        try:
            # Blanks replace the magic, so that the columns of the words stay correct.
            self.words = option_types.split(" " * at + text[at:])
        except ValueError as error:
            message, position = error.args
            raise HeaderError(message, hint="close or remove it", magic=magic, column=position + 1) from None
        self.operator = self._given_operator() or default_operator
        # Options that the task's operator declares.
        self.own = options_of_operator(self.operator) if kind == "task" else ()
        self.known |= {option.flag: option for option in self.own}
        self.name: str | None = None
        self.given: dict[Option, list[Any]] = {}  # key: option; value: parsed values, in the order of the line
        self.place: dict[str, Word] = {}  # key: field; value: the word of the line that names the option

    def read(self) -> Header:
        ahead = list(self.words)
        errors: list[HeaderError] = []
        while ahead:
            word = ahead.pop(0)
            try:
                if word.is_option:
                    del ahead[: self._option(word, ahead)]
                else:
                    self._name(word)
            except HeaderError as error:
                errors.append(error)
                ahead = list(dropwhile(lambda other: not other.is_option, ahead))
        if errors:
            errors[0].others = tuple(errors[1:])
            raise errors[0]
        if self.kind == "task" and self.name is None:
            raise self._error("the task has no name", None, hint="write %%task NAME --option …")
        options: dict[str, Any] = {}
        defaults: dict[str, Any] = {}
        own = tuple((each.field, _field_value(each, self.given[each])) for each in self.own if each in self.given)
        for option, values in self.given.items():
            if option not in self.own:
                (defaults if option.is_default else options)[option.field] = _field_value(option, values)
        if own:
            options["operator_options"] = own
        if defaults:
            options["defaults"] = defaults
        header = Header(kind=self.kind, name=self.name, options=options, builds=self.magic == "%%dag")
        if not options.keys().isdisjoint(_SCHEDULING):
            self._check_schedule(header)
        return header

    def _given_operator(self) -> str:
        """Return the operator that the header names, or "" if it names none.

        The operator determines which other options are valid.
        """
        for word, following in pairwise([*self.words, Word("", "", 0)]):
            flag, equals, value = word.raw.partition("=")
            if flag == "--operator":
                return "".join(shlex.split(value)) if equals else following.text
        return ""

    def _check_schedule(self, header: Header) -> None:
        """Raise `HeaderError` for an invalid schedule, which would otherwise fail only at its first tick."""
        # Imported here because croniter is slow to import and most headers have no schedule.
        from ..schedule.timetable import ScheduleError, Timetable

        try:
            Timetable.of(dag_options(header))
        except ScheduleError as error:
            named = [name for name in _SCHEDULING if name.replace("_", " ") in error.subject]
            word = next((self.place[name] for name in (*named, *_SCHEDULING) if name in self.place), None)
            raise self._error(f"{error.subject} {error.problem}", word, hint=error.advice) from None

    def _name(self, word: Word) -> None:
        if self.kind not in OPTIONS:
            raise self._error(
                f"unexpected {word.raw!r}", word, hint=f"{self.magic} takes no name; write it alone on its line"
            )
        if self.name is not None:
            near = option_types.nearest(word.text.lstrip("-"), self.known)
            hint = (
                f"did you mean --{near}?"
                if near
                else f"the name is already {self.name!r}; options begin with --, and a value with spaces needs quotes"
            )
            raise self._error(f"unexpected {word.raw!r}", word, hint=hint)
        try:
            self.name = option_types.read_id(word.text)
        except ValueError:
            raise self._error(f"{word.text!r} is not a valid name", word, hint=f"use {option_types.ID_RULE}") from None

    def _option(self, word: Word, ahead: Sequence[Word]) -> int:
        """Parse one option and return how many of the following words belong to the option."""
        flag, equals, value = word.raw.partition("=")
        option, turned_off = self._find_option(word, flag[2:].replace("_", "-"), ahead)
        if option.kind.flag:
            if equals:
                raise self._error(
                    f"{flag} takes no value", word, hint=f"write --{option.flag} or --no-{option.flag} alone"
                )
            self._give(option, [not turned_off], word)
            return 0
        values = []
        for other in ahead:
            if other.is_option:
                break
            values.append(other)
        if equals:
            inline = Word("".join(shlex.split(value)), value, word.start + len(flag) + 1)
            values = [inline] if option.kind.many else [inline, *values]
        if not values or (equals and not value):
            raise self._error(f"--{option.flag} needs a value", word, hint=f"write --{option.flag} {_example(option)}")
        taken = values if option.kind.many else values[: option.kind.span(values) if option.kind.span else 1]
        self._give(option, self._values(option, taken), word)
        return len(taken) - (1 if equals else 0)

    def _find_option(self, word: Word, flag: str, ahead: Sequence[Word]) -> tuple[Option, bool]:
        """Return the option with this name, and whether the prefix --no- turns the option off.

        Raise `HeaderError` if no option has this name.
        """
        if flag in self.known:
            return self.known[flag], False
        positive = self.known.get(flag.removeprefix("no-"))
        if positive and positive.kind.flag:
            return positive, True
        message = f"unknown option --{flag}"
        for other, options in OPTIONS.items():
            if other != self.kind and any(flag == option.flag for option in options):
                hint = f"--{flag} belongs to {MAGICS[other]}{' NAME' if other == 'task' else ''}"
                raise self._error(message, word, hint=hint)
        if not self.known:
            raise self._error(message, word, hint=f"{self.magic} takes no options")
        owners = operators_with(flag)
        if owners and self.kind != "task":
            raise self._error(message, word, hint=f"--{flag} belongs to %%task NAME --operator {owners[0]}")
        near = flag_for_airflow(flag) if flag_for_airflow(flag) in self.known else self._nearest_option(flag, ahead)
        hint = f"did you mean --{near}?" if near else f"{self.magic}? lists all options"
        if owners:
            known_to = " and ".join(owners)
            message = (
                f"--{flag} is an option of the operator {known_to}, but the operator of this task is {self.operator}"
            )
        raise self._error(message, word, hint=hint)

    def _nearest_option(self, flag: str, ahead: Sequence[Word]) -> str | None:
        """Return the name of a similar option, or None if no option is similar.

        Prefer an option that accepts the next word as its value to an option with a more similar name.
        """
        spellings = [*self.known, *(f"no-{each}" for each, option in self.known.items() if option.kind.flag)]
        similar = option_types.similar_words(flag, spellings)
        value = [] if not ahead or ahead[0].is_option else [ahead[0]]
        for each in similar if value else ():
            option = self.known.get(each)
            if option is None or option.kind.flag:
                return each
            with suppress(HeaderError):
                self._values(option, value)
                if not (option.kind.expression and value[0].text.isdigit()):  # a number is not a condition
                    return each
        return next(iter(similar), None)

    def _values(self, option: Option, taken: Sequence[Word]) -> list[Any]:
        kind = option.kind
        if kind.expression:
            texts = (
                [(_expression(taken), taken[0])] if not kind.many else [(_expression([each]), each) for each in taken]
            )
        elif kind.commas:
            texts = [(text, each) for each in taken for text in each.text.split(",") if text]
            texts = texts or [("", taken[0])]
        else:
            texts = (
                [(each.text, each) for each in taken] if kind.many else [(" ".join(w.text for w in taken), taken[0])]
            )
        return [self._value(option, text, word) for text, word in texts]

    def _value(self, option: Option, text: str, word: Word) -> Any:
        if option.kind.none and text.lower() == "none":
            return None
        try:
            return option.kind.read(text)
        except ValueError as error:
            message, _, hint = str(error).partition("; ")
            raise self._error(f"--{option.flag} {option_types.quote(text)} {message}", word, hint=hint) from None

    def _give(self, option: Option, values: list[Any], word: Word) -> None:
        before = self.given.setdefault(option, [])
        if not option.is_default:
            self.place[option.field] = word
        if before and not (option.kind.many or option.kind.repeat):
            raise self._error(f"--{option.flag} is given twice", word, hint="remove one of them")
        if option.field == "map":
            for variable, _ in values:
                if any(variable == other for other, _ in before):
                    raise self._error(f"--map has the variable {variable} twice", word, hint="map each variable once")
                before.append((variable, _))
            return
        # A task, tag or variable that is given twice counts once.
        before.extend(dict.fromkeys(value for value in values if not option.kind.many or value not in before))

    def _error(self, message: str, word: Word | None, *, hint: str = "") -> HeaderError:
        return HeaderError(message, hint=hint, magic=self.magic, column=word.start + 1 if word else 1)


def _example(option: Option) -> str:
    return option.kind.metavar.removesuffix("…")


def _field_value(option: Option, values: Sequence[Any]) -> Any:
    """Combine all values that the line gives for the option into the value of the option's field."""
    if option.kind.join:
        return option.kind.join(values)
    return tuple(values) if option.kind.many or option.kind.repeat else values[0]


def _expression(taken: Sequence[Word]) -> str:
    """Join words of a header into an expression.

    Quotes around the whole value are removed; other quotes belong to the expression.
    """
    if len(taken) > 1:
        return " ".join(word.raw for word in taken)
    word = taken[0]
    value = word.raw.partition("=")[2] if re.match(r"\w+=[\"']", word.raw) else word.raw
    return word.text if option_types.is_quoted(value) or "\\" in word.raw else word.raw


def _edges(text: str, at: int) -> tuple[tuple[str, str], ...]:
    """Return the pairs (upstream task, downstream task) of a text such as `a >> [b, c] >> d; e << f`, each once."""
    # Each chain is a list of links; a link is (the sign >> or << before the link, the link's tasks).
    chains: list[list[tuple[str, list[str]]]] = [[]]
    sign, inside = "", False

    def invalid(message: str, hint: str, position: int) -> HeaderError:
        return HeaderError(message, hint=hint, magic=MAGICS["edges"], column=position + 1)

    example = "write %edges a >> [b, c] >> d"
    while match := _EDGE.match(text, at):
        at = match.end()
        token, start = match.group().strip(), match.start() + len(match.group()) - len(match.group().lstrip())
        chain = chains[-1]
        if match["comment"]:
            break
        if match["id"]:
            if inside:
                chain[-1][1].append(option_types.read_id(token))
            elif chain and not sign:
                raise invalid(f"unexpected {token!r}", f"write >> between {chain[-1][1][-1]} and {token}", start)
            else:
                chain.append((sign, [option_types.read_id(token)]))
                sign = ""
        elif token == "[" and not inside and (not chain or sign):
            chain.append((sign, []))
            sign, inside = "", True
        elif token == "]" and inside and chain[-1][1]:
            inside = False
        elif token == "," and inside and chain[-1][1]:
            pass
        elif token in ("<<", ">>") and chain and not sign and not inside:
            sign = token
        elif token in (",", ";") and len(chain) > 1 and not sign and not inside:
            chains.append([])
        else:
            raise invalid(f"unexpected {token!r}", example, start)
    if inside:
        raise invalid("the bracket [ is not closed", example, len(text))
    if chains[-1] == [] and len(chains) > 1:
        chains.pop()
    if sign or len(chains[-1]) < 2:
        raise invalid("an edge needs a task on both sides", example, len(text))
    pairs: dict[tuple[str, str], None] = {}
    for chain in chains:
        for (_, left), (arrow, right) in pairwise(chain):
            before, after = (left, right) if arrow == ">>" else (right, left)
            pairs.update({(a, b): None for a in before for b in after})
    return tuple(pairs)
