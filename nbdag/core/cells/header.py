"""The one parser of nbdag's magics: for the live notebook, for headless runs and for the command line.

A header is a line such as `%%task train --retries 2`, read by a shell's quoting, with a comment allowed at its end and
a backslash to go on in the next line. `parse(format(header)) == header` for every header that `parse` can give.
Whatever is wrong is a `HeaderError` with the column and, for a word that nearly is right, the right one. Which
options there are is `core.options`, what a value may be is `core.words`; help and completion are `core.guide`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import dropwhile, groupby, pairwise
from typing import Any
from zoneinfo import ZoneInfo

from ...errors import NbdagError
from ..options import option_types
from ..options.option_help import complete, help, word_start
from ..options.option_types import Word
from ..options.options import OPTIONS, DagOptions, Option, TaskOptions

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

# How each kind of header is written; the cell magics are also understood with one percent sign. With two, %dag has code
# below it that builds tasks.
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
# Airflow's words for what has another name here.
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


class HeaderError(NbdagError):
    """A header that cannot be read."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "", magic: str = "", column: int = 1) -> None:
        super().__init__(message)
        self.message = message  # what is wrong
        self.hint = hint  # the next step; empty where the message says it
        self.magic = magic  # such as %%task
        self.column = column  # from 1, in the header's line
        self.others: tuple[HeaderError, ...] = ()  # what else is wrong with the line

    def __str__(self) -> str:
        place = f"{self.magic}, column {self.column}: " if self.magic else ""
        return f"{place}{self.message}{'; ' if self.hint else ''}{self.hint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What one header line says."""

    kind: str  # task, dag, setup, params, skip, edges or nbdag
    name: str | None = None  # the task's or the DAG's
    options: Mapping[str, Any] = field(default_factory=dict)  # what it says, by field of TaskOptions or DagOptions
    edges: tuple[tuple[str, str], ...] = ()  # of %edges: (before, after)
    rest: str = ""  # of %nbdag: the command line
    builds: bool = False  # %%dag: the code below it builds tasks

    @property
    def is_bare(self) -> bool:
        """Whether it says nothing: a bare %dag draws the graph, and a bare %%dag only builds."""
        return self.name is None and not self.options and not self.edges and not self.rest


def is_header(line: str) -> bool:
    """Whether a line begins with one of nbdag's magics, rightly used or not."""
    return _HEADER.match(line) is not None


def parse(line: str) -> Header:
    """Read one header line. Raises `HeaderError`."""
    text = re.sub(r"\\\r?\n", lambda found: " " * len(found.group()), line).rstrip()
    match = _HEADER.match(text)
    if match is None:
        raise HeaderError(f"{text.strip()!r} is none of nbdag's magics", hint=f"they are {', '.join(MAGICS.values())}")
    kind, magic = match["kind"], match["percent"] + match["kind"]
    if "\n" in text or "\r" in text:
        raise HeaderError("a header is one line", hint="end a line with \\ to go on in the next", magic=magic)
    if kind in _LINE_ONLY and match["percent"] == "%%":
        hint = f"write {MAGICS[kind]} with one percent sign, as a line of its own"
        raise HeaderError(f"{magic} is not a cell magic", hint=hint, magic=magic, column=match.start("percent") + 1)
    if kind == "nbdag":
        return Header(kind=kind, rest=text[match.end() :].strip())
    if kind == "edges":
        return Header(kind=kind, edges=_edges(text, match.end()))
    return _Reader(kind, magic, text, match.end()).read()


def format(header: Header) -> str:
    """The header as a line, options in the order of the help. `parse` reads it as the same header."""
    parts = [f"%{MAGICS[header.kind]}" if header.builds else MAGICS[header.kind]]
    if header.name is not None:
        parts.append(option_types.quote(header.name))
    said: Mapping[str, Any] = header.options
    for option in OPTIONS.get(header.kind, ()):
        given = said.get("defaults", {}) if option.is_default else said
        if option.field in given:
            parts.extend(_written(option, given[option.field]))
    if header.edges:
        sources = ((before, [pair[1] for pair in pairs]) for before, pairs in groupby(header.edges, lambda e: e[0]))
        parts.append("; ".join(f"{source} >> {_listed(targets)}" for source, targets in sources))
    if header.rest:
        parts.append(header.rest)
    return " ".join(parts)


def flag_for_airflow(flag: str) -> str:
    """What an option of Airflow's is called here; empty where it has no other name."""
    return _ALIASES.get(flag, "")


def task_options(defaults: Mapping[str, Any], said: Mapping[str, Any]) -> TaskOptions:
    """A task's options: what its header says, else what `%dag` says of all tasks, else the defaults."""
    return TaskOptions(**{**defaults, **said})


def dag_options(header: Header | None = None) -> DagOptions:
    """The DAG's options, its dates made aware in its time zone. Without a header: the defaults."""
    said = dict(header.options) if header else {}
    zone = ZoneInfo(said.get("tz", "UTC"))
    for name in ("start_date", "end_date"):
        if said.get(name) is not None:
            said[name] = _aware(said[name], zone)
    return DagOptions(**said)


def _aware(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone) if moment.tzinfo else moment.replace(tzinfo=zone)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"


def _written(option: Option, value: Any) -> list[str]:
    """An option and its value, as words of a line."""
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


class _Reader:
    """Reads the name and the options of one header line."""

    def __init__(self, kind: str, magic: str, text: str, at: int) -> None:
        self.kind = kind
        self.magic = magic
        self.known = {option.flag: option for option in OPTIONS.get(kind, ())}
        try:
            # Blanks in place of the magic keep the columns right.
            self.words = option_types.split(" " * at + text[at:])
        except ValueError as error:
            message, position = error.args
            raise HeaderError(message, hint="close it", magic=magic, column=position + 1) from None
        self.name: str | None = None
        self.given: dict[Option, list[Any]] = {}  # values as read, in the order in which they were given
        self.place: dict[str, Word] = {}  # by field, where it is given

    def read(self) -> Header:
        ahead = list(self.words)
        wrong: list[HeaderError] = []
        while ahead:
            word = ahead.pop(0)
            try:
                if word.is_option:
                    del ahead[: self._option(word, ahead)]
                else:
                    self._name(word)
            except HeaderError as error:
                wrong.append(error)
                ahead = list(dropwhile(lambda other: not other.is_option, ahead))
        if wrong:
            wrong[0].others = tuple(wrong[1:])
            raise wrong[0]
        if self.kind == "task" and self.name is None:
            raise self._error("the task has no name", None, hint="it comes first: %%task NAME --option …")
        options: dict[str, Any] = {}
        defaults: dict[str, Any] = {}
        for option, values in self.given.items():
            (defaults if option.is_default else options)[option.field] = _whole(option, values)
        if defaults:
            options["defaults"] = defaults
        header = Header(kind=self.kind, name=self.name, options=options, builds=self.magic == "%%dag")
        if not options.keys().isdisjoint(_SCHEDULING):
            self._check_schedule(header)
        return header

    def _check_schedule(self, header: Header) -> None:
        """What makes no sense together is said here, not at the first tick."""
        from ..schedule.timetable import (  # croniter takes a while, and most headers have no schedule
            ScheduleError,
            Timetable,
        )

        try:
            Timetable.of(dag_options(header))
        except ScheduleError as error:
            about = [name for name in _SCHEDULING if name.replace("_", " ") in error.subject]
            word = next((self.place[name] for name in (*about, *_SCHEDULING) if name in self.place), None)
            raise self._error(f"{error.subject} {error.problem}", word, hint=error.advice) from None

    def _name(self, word: Word) -> None:
        if self.kind not in OPTIONS:
            raise self._error(f"unexpected {word.raw!r}", word, hint=f"{self.magic} stands alone on its line")
        if self.name is not None:
            near = option_types.nearest(word.text.lstrip("-"), self.known)
            hint = (
                f"did you mean --{near}?"
                if near
                else f"the name is {self.name!r} already; options begin with --, and a value with spaces needs quotes"
            )
            raise self._error(f"unexpected {word.raw!r}", word, hint=hint)
        try:
            self.name = option_types.read_id(word.text)
        except ValueError:
            raise self._error(f"{word.text!r} cannot be a name", word, hint=f"use {option_types.ID_RULE}") from None

    def _option(self, word: Word, ahead: Sequence[Word]) -> int:
        """Take in one option; the number of words ahead that were its values."""
        flag, equals, value = word.raw.partition("=")
        option, turned_off = self._known(word, flag[2:].replace("_", "-"))
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

    def _known(self, word: Word, flag: str) -> tuple[Option, bool]:
        """The option of this name, and whether it is turned off."""
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
        spellings = [*self.known, *(f"no-{each}" for each, option in self.known.items() if option.kind.flag)]
        near = flag_for_airflow(flag) if flag_for_airflow(flag) in self.known else option_types.nearest(flag, spellings)
        hint = f"did you mean --{near}?" if near else f"{self.magic}? lists them all"
        raise self._error(message, word, hint=hint)

    def _values(self, option: Option, taken: Sequence[Word]) -> list[Any]:
        kind = option.kind
        if kind.expression:
            texts = [(_python(taken), taken[0])] if not kind.many else [(_python([each]), each) for each in taken]
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
            raise self._error(f"--{option.flag} is given twice", word, hint="keep one of them")
        if option.field == "map":
            for variable, _ in values:
                if any(variable == other for other, _ in before):
                    raise self._error(f"--map names {variable} twice", word, hint="map each variable once")
                before.append((variable, _))
            return
        # To say a task, a tag or a name again says nothing new.
        before.extend(dict.fromkeys(value for value in values if not option.kind.many or value not in before))

    def _error(self, message: str, word: Word | None, *, hint: str = "") -> HeaderError:
        return HeaderError(message, hint=hint, magic=self.magic, column=word.start + 1 if word else 1)


def _example(option: Option) -> str:
    return option.kind.metavar.removesuffix("…")


def _whole(option: Option, values: Sequence[Any]) -> Any:
    """The value of a field from the values that were given for it."""
    if option.kind.join:
        return option.kind.join(values)
    return tuple(values) if option.kind.many or option.kind.repeat else values[0]


def _python(taken: Sequence[Word]) -> str:
    """The expression that these words are: where it is not all in quotes, the quotes inside are Python's own."""
    if len(taken) > 1:
        return " ".join(word.raw for word in taken)
    word = taken[0]
    value = word.raw.partition("=")[2] if re.match(r"\w+=[\"']", word.raw) else word.raw
    return word.text if option_types.is_quoted(value) or "\\" in word.raw else word.raw


def _edges(text: str, at: int) -> tuple[tuple[str, str], ...]:
    """The pairs of `a >> [b, c] >> d; e << f`, each once."""
    chains: list[list[tuple[str, list[str]]]] = [[]]  # of (the sign before it, the tasks of one link)
    sign, inside = "", False

    def error(message: str, hint: str, position: int) -> HeaderError:
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
                raise error(f"unexpected {token!r}", f"put >> between {chain[-1][1][-1]} and {token}", start)
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
            raise error(f"unexpected {token!r}", example, start)
    if inside:
        raise error("the bracket [ is not closed", example, len(text))
    if chains[-1] == [] and len(chains) > 1:
        chains.pop()
    if sign or len(chains[-1]) < 2:
        raise error("an edge needs a task on both sides", example, len(text))
    pairs: dict[tuple[str, str], None] = {}
    for chain in chains:
        for (_, left), (arrow, right) in pairwise(chain):
            before, after = (left, right) if arrow == ">>" else (right, left)
            pairs.update({(a, b): None for a in before for b in after})
    return tuple(pairs)
