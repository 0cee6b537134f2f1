"""Types of option values: durations, ids, choices, dates, expressions.

A `Kind` defines how an option's value is read, written, completed and shown in the help. `read` accepts every text that
`write` returns, and returns the original value. For an invalid text, `read` raises `ValueError` with a message such as
"is not a duration; write 90 or 30s". The parser puts the name and the value of the option in front of this message. The
options themselves are declared in `options`.
"""

from __future__ import annotations

import ast
import difflib
import io
import keyword
import re
import shlex
import tokenize
import warnings
import zoneinfo
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

ID = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
ID_RULE = "letters, digits, _ . and -, beginning with a letter or _, at most 250 characters"
MAX_DURATION = 36_525 * 86_400.0  # the longest duration, in seconds: about a hundred years
PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly", "@once", "@continuous")

_WORD = re.compile(r"""(?:[^\s"'\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+""")
_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_NUMBER = r"\d+(?:\.\d+)?"
_DURATION = re.compile("".join(f"(?:(?P<{unit}>{_NUMBER}){unit})?" for unit in _UNITS) + f"|(?P<bare>{_NUMBER})")


class Word(NamedTuple):
    """A word of a header line."""

    text: str  # the word without quotes and backslashes, as a shell would pass it to a program
    raw: str  # the word as the user wrote it
    start: int  # position of the word's first character in the line, from 0

    @property
    def is_option(self) -> bool:
        """Return whether the word is an option's name. A word that begins with a quote is a value."""
        return self.raw.startswith("--")


def split(line: str) -> list[Word]:
    """Split a line into words by the quoting rules of a shell; a word that begins with # starts a comment.

    For a quote that is not closed, raise `ValueError` with a message and the position of the quote, from 0.
    """
    words: list[Word] = []
    at = 0
    while True:
        while at < len(line) and line[at].isspace():
            at += 1
        if at == len(line) or line[at] == "#":
            return words
        match = _WORD.match(line, at)
        end = match.end() if match else at
        if end < len(line) and not line[end].isspace():
            if line[end] == "\\":
                raise ValueError("the backslash at the end of the line quotes no character", end)
            raise ValueError(f"the quote {line[end]} is not closed", end)
        raw = line[at:end]
        words.append(Word("".join(shlex.split(raw)), raw, at))
        at = end


def quote(text: str) -> str:
    """Return `text` quoted where needed, so that `split` reads the same text as a value and not as an option."""
    return f"'{text}'" if text.startswith("-") and shlex.quote(text) == text else shlex.quote(text)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most similar to the given word, or None if no known word is similar."""
    return next(iter(similar_words(word, known)), None)


def similar_words(word: str, known: Iterable[str]) -> list[str]:
    """Return at most four known words that are similar to the given word, the most similar first."""
    by_lower = {other.lower(): other for other in known}
    return [by_lower[each] for each in difflib.get_close_matches(word.lower(), by_lower, n=4, cutoff=0.6)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """The type of an option's value."""

    metavar: str  # the value's placeholder in the help; empty for a flag
    read: Callable[[str], Any]
    write: Callable[[Any], str] = str
    choices: Callable[[], Iterable[str]] = tuple  # the values that completion offers
    flag: bool = False  # the option takes no value; --no-NAME turns it off
    many: bool = False  # the option takes several words, and may be repeated
    commas: bool = False  # the words may be separated by commas instead of blanks
    repeat: bool = False  # the option may be repeated, with one value each time
    join: Callable[[Sequence[str]], Any] | None = None  # joins the values of a repeated option into one
    none: bool = False  # the word "none" sets the option to None
    # Returns how many of the following words belong to the option's value.
    span: Callable[[Sequence[Word]], int] | None = None
    expression: bool = False  # the value is a Python expression
    tasks: bool = False  # completion offers the names of tasks
    operators: bool = False  # completion offers the names of operators


# -- numbers and durations ---------------------------------------------------------------------------------------------


def read_duration(text: str) -> float:
    """Return the seconds of a duration such as `90`, `30s`, `5m`, `1h30m`, `2d` or `0.5s`."""
    match = _DURATION.fullmatch(text) if text else None
    if not match:
        raise ValueError("is not a duration; write 90, 30s, 5m, 1h30m or 2d")
    if match["bare"]:
        seconds = float(match["bare"])
    else:
        seconds = sum(float(match[unit]) * size for unit, size in _UNITS.items() if match[unit])
    if seconds > MAX_DURATION:
        raise ValueError("is longer than a hundred years; write 90, 30s, 5m, 1h30m or 2d")
    return seconds


def write_duration(seconds: float) -> str:
    """Return the shortest text that `read_duration` reads as this number of seconds."""
    if seconds != int(seconds):
        # `repr` loses no digit; Decimal writes the number without an exponent.
        return f"{Decimal(repr(float(seconds))):f}s"
    parts, remaining = [], int(seconds)
    for unit, size in _UNITS.items():
        count, remaining = divmod(remaining, int(size))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _read_positive_duration(text: str) -> float:
    seconds = read_duration(text)
    if not seconds:
        raise ValueError("is too short; expected more than zero")
    return seconds


LARGEST_INTEGER = 2**31 - 1  # the largest value of PostgreSQL's type integer


def integer(least: int | None = None) -> Kind:
    """Return the type of integers that a database can hold; if `least` is given, smaller integers are rejected."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            raise ValueError("is not a whole number")
        value = int(text)
        if least is not None and value < least:
            raise ValueError(f"is too small; the minimum is {least}")
        if abs(value) > LARGEST_INTEGER:
            raise ValueError(f"is out of range; the largest number is {LARGEST_INTEGER}")
        return value

    return Kind(metavar="N", read=read)


def _read_factor(text: str) -> float:
    if not re.fullmatch(_NUMBER, text):
        raise ValueError("is not a number; write one such as 2 or 1.5")
    value = float(text)
    if not 1 <= value <= 1_000_000:
        raise ValueError("is out of range; expected a number between 1 and 1000000")
    return value


def _write_factor(value: float) -> str:
    return f"{Decimal(repr(float(value))):f}".removesuffix(".0")


# -- names -------------------------------------------------------------------------------------------------------------


def read_id(text: str) -> str:
    """Return the id of a task, DAG, pool or operator."""
    if len(text) <= 250 and ID.fullmatch(text):
        return text
    raise ValueError(f"is not a valid id; use {ID_RULE}")


def read_identifier(text: str) -> str:
    """Return the name of a variable."""
    if text.isidentifier() and not keyword.iskeyword(text):
        return text
    raise ValueError("is not a variable name; use a Python identifier")


def choice(metavar: str, *known: str) -> Kind:
    """Return the type of a value that must be one of these words. Case does not matter, and - equals _."""

    def read(text: str) -> str:
        word = text.replace("-", "_").lower()
        if word in known:
            return word
        similar = nearest(word, known)
        advice = f"did you mean {similar}?" if similar else f"expected one of {', '.join(known)}"
        raise ValueError(f"is unknown; {advice}")

    return Kind(metavar=metavar, read=read, choices=lambda: known)


# -- expressions -------------------------------------------------------------------------------------------------------


def _syntax_error(expression: str) -> SyntaxError | ValueError | None:
    try:
        with warnings.catch_warnings():
            # Warnings such as the one for `x is 1` are ignored here: Python repeats them when it evaluates the
            # expression.
            warnings.simplefilter("ignore")
            compile(expression, "<header>", "eval", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        return error
    return None


def read_expression(text: str) -> str:
    """Return a Python expression without surrounding white space."""
    text = text.strip()
    error = _syntax_error(text)
    if error is None:
        return text
    if comparison := _as_comparison(text):
        raise ValueError(f"is not a Python expression, because = assigns; use == to compare: {quote(comparison)}")
    reason = error.msg if isinstance(error, SyntaxError) else str(error)
    where = f" at character {error.offset}" if isinstance(error, SyntaxError) and error.offset and text else ""
    raise ValueError(f'is not a Python expression ({reason}{where}); write one such as "accuracy >= 0.9"')


def _as_comparison(text: str) -> str:
    """Return the text with == for each = outside brackets, or "" if this is not an expression."""
    depth, signs = 0, []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.OP:
                depth += (token.string in "([{") - (token.string in ")]}")
                if token.string == "=" and depth == 0 and token.start[0] == 1:
                    signs.append(token.start[1])
    except (tokenize.TokenError, SyntaxError):
        return ""
    for at in reversed(signs):
        text = f"{text[:at]}={text[at:]}"
    return text if signs and _syntax_error(text) is None else ""


def _read_map(text: str) -> tuple[str, str]:
    variable, equals, expression = text.partition("=")
    if not equals or expression.startswith("="):
        raise ValueError("names no variable; write --map x=xs to get one instance for each x of xs")
    return read_identifier(variable.strip()), read_expression(expression)


def _read_edge_label(text: str) -> tuple[str, str]:
    task, _, label = text.partition("=")
    if not label.strip():
        raise ValueError("has no text; write --edge-label check='no errors' for the edge from the task check")
    return read_id(task.strip()), " ".join(label.split())


def is_quoted(raw: str) -> bool:
    """Return whether the value begins with a quote.

    The parser removes quotes around the value; quotes within it belong to the expression.
    """
    return raw[:1] in ("'", '"')


def _span_of_expression(words: Sequence[Word]) -> int:
    """Return how many of the words form an expression. With this number, `--check accuracy >= 0.9` needs no quotes."""
    if not is_quoted(words[0].raw):
        for n in range(len(words), 1, -1):
            if not _syntax_error(" ".join(word.raw for word in words[:n])):
                return n
    return 1


def _read_question(text: str) -> str:
    """Return the source of an f-string for a question of --approve, such as `Ship {accuracy:.1%}?`."""
    template = re.search(r"\{\{\s*([A-Za-z_][^{}]*?)\s*\}\}", text)
    if template is not None:
        advice = "write a Python expression in single braces, such as {dag_run.ds}"
        raise ValueError(f"has the template {template[0]}; {advice}")
    expression = f"f{_read_text(text)!r}"
    error = _syntax_error(expression)
    if error is not None:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ValueError(f"is not a text with values in braces ({reason}); write 'Ship {{accuracy:.1%}}?'")
    return expression


def _write_question(expression: str) -> str:
    return str(ast.literal_eval(expression[1:]))


def _conjunction(expressions: Sequence[str]) -> str:
    return expressions[0] if len(expressions) == 1 else " and ".join(f"({each})" for each in expressions)


# -- time --------------------------------------------------------------------------------------------------------------


def _read_date(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is not a date; write 2026-01-31 or 2026-01-31T06:00") from None
    if not 1900 <= moment.year < 3000:
        # Near the limits of the calendar, a conversion to another time zone overflows.
        raise ValueError("is out of range; write a date between 1900 and 2999")
    return moment


def _write_date(moment: datetime) -> str:
    midnight = moment.tzinfo is None and (moment.hour, moment.minute, moment.second, moment.microsecond) == (0,) * 4
    return moment.date().isoformat() if midnight else moment.isoformat()


def _read_zone(text: str) -> str:
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        similar = nearest(text, zoneinfo.available_timezones())
        advice = f"did you mean {similar}?" if similar else "write one such as Europe/Riga"
        raise ValueError(f"is not a time zone; {advice}") from None
    return text


def _span_of_schedule(words: Sequence[Word]) -> int:
    """Return how many of the words form a schedule.

    With this number, `0 6 * * *`, `every 15m` and `on s3://lake/orders and after churn` need no quotes in a header.
    """
    first = words[0].raw
    if first.lower() in ("on", "after"):
        return next((n for n, word in enumerate(words) if word.is_option), len(words))
    wanted = 2 if first == "every" else 5 if re.fullmatch(r"[0-9*][0-9*/,-]*", first) else 1
    return wanted if len(words) >= wanted else 1


def _read_text(text: str) -> str:
    if not text:
        raise ValueError("is empty; write a text")
    return text


SCHEDULE_WORDS = ("on", "after", "and", "or", "at")  # words of a schedule that waits for assets
_MAX_ASSET = 1000  # maximum length of an asset's name, in characters


def read_asset(text: str) -> str:
    """Return the name of an asset. Raise `ValueError` if a schedule could not contain this name."""
    if re.fullmatch(r"[^\s()]+", text) is None or not text.isprintable():
        raise ValueError("is not the name of an asset; write a URL or a word without blanks and parentheses")
    if text.lower() in SCHEDULE_WORDS:
        raise ValueError(f"is a word of schedules; write another name, such as {text}-data")
    if len(text) > _MAX_ASSET:
        raise ValueError(f"is longer than {_MAX_ASSET} characters; write a shorter name")
    return text


_RECIPIENT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.+|(?:[^\W\d]\w*(?:\.[^\W\d]\w*)*)?:[^\W\d]\w*", re.DOTALL)


def _read_recipient(text: str) -> str:
    if not _RECIPIENT.fullmatch(_read_text(text)):
        raise ValueError("is neither an address nor a function; write a URL of Apprise, module:function or :function")
    return text


_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


def _read_deadline(text: str) -> str:
    """Return a time of day such as 08:00, or a duration such as +2h."""
    if text.startswith("+"):
        return f"+{write_duration(_read_positive_duration(text[1:]))}"
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise ValueError("is neither a time of day nor a duration; write 08:00 or +2h")
    return f"{int(match[1]):02}:{match[2]}"


def _read_path(text: str) -> str:
    """Return a path or pattern that is relative to the notebook's folder and stays in it."""
    parts = _read_text(text).split("/")
    if text.startswith(("/", "~")) or ".." in parts or "\\" in text:
        raise ValueError("is outside of the notebook's folder; write a path relative to it, such as lib/ or sql/*.sql")
    return text


def _read_requirement(text: str) -> str:
    """Return a requirement such as `pandas==3.1`, or the path of a lock file."""
    if text.endswith((".txt", ".lock", ".in", ".toml")):
        return _read_path(text)
    from packaging.requirements import InvalidRequirement, Requirement  # imported here because few notebooks need it

    try:
        Requirement(text)
    except InvalidRequirement:
        advice = "write 'pandas==3.1', or a lock file such as requirements.lock"
        raise ValueError(f"is neither a package nor a lock file; {advice}") from None
    return text


_SIZES = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_RESOURCE = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*)=(\d+(?:\.\d+)?)(?:([kmgt]i?)?b)?", re.IGNORECASE)


def read_resource(text: str) -> tuple[str, float]:
    """Return the name, in lower case, and the amount of a resource such as `gpu=1` or `memory=8GB`."""
    match = _RESOURCE.fullmatch(text)
    amount = float(match[2]) * _SIZES.get((match[3] or "").lower(), 1) if match else 0.0
    if match is None or not 0 < amount <= 10**18:
        raise ValueError("is not an amount of a resource; write gpu=1 or memory=8GB")
    return match[1].lower(), amount


def write_resource(resource: tuple[str, float]) -> str:
    """Return the text that `read_resource` reads as this resource."""
    name, amount = resource
    for unit in "TGM" if name in ("memory", "disk") else "":
        size = _SIZES[unit.lower()]
        if amount >= size and Decimal(repr(amount)) / size == Decimal(repr(round(amount / size, 3))):
            return f"{name}={_write_factor(round(amount / size, 3))}{unit}B"
    return f"{name}={_write_factor(amount)}"


def _read_error_name(text: str) -> str:
    if all(part.isidentifier() and not keyword.iskeyword(part) for part in text.split(".")):
        return text
    raise ValueError("is not the name of an error; write one such as ConnectionError or requests.HTTPError")


# -- the types of options ----------------------------------------------------------------------------------------------

FLAG = Kind(metavar="", read=str, flag=True)
TEXT = Kind(metavar="TEXT", read=_read_text)
TEXTS = Kind(metavar="URL", read=_read_recipient, many=True)
ASSETS = Kind(metavar="ASSET…", read=read_asset, many=True)
TAGS = Kind(metavar="TAG…", read=_read_text, many=True, commas=True)
REQUIREMENTS = Kind(metavar="PACKAGE…", read=_read_requirement, many=True)
RESOURCES = Kind(metavar="NAME=AMOUNT…", read=read_resource, write=write_resource, many=True, commas=True)
PATHS = Kind(metavar="PATH…", read=_read_path, many=True)
DURATION = Kind(metavar="TIME", read=read_duration, write=write_duration)
POSITIVE_DURATION = Kind(metavar="TIME", read=_read_positive_duration, write=write_duration)
TIMEOUT = Kind(metavar="TIME", read=_read_positive_duration, write=write_duration, none=True)
FACTOR = Kind(metavar="FACTOR", read=_read_factor, write=_write_factor, none=True)
NAME = Kind(metavar="NAME", read=read_id)
OPERATOR = Kind(metavar="KIND", read=read_id, operators=True)
TASKS = Kind(metavar="TASK…", read=read_id, many=True, commas=True, tasks=True)
VARIABLES = Kind(metavar="NAME…", read=read_identifier, many=True, commas=True)
EXPRESSIONS = Kind(metavar="EXPR", read=read_expression, repeat=True, span=_span_of_expression, expression=True)
CONDITION = Kind(
    metavar="EXPR", read=read_expression, repeat=True, join=_conjunction, span=_span_of_expression, expression=True
)
QUESTION = Kind(metavar="TEXT", read=_read_question, write=_write_question)
MAPS = Kind(metavar="x=EXPR…", read=_read_map, write="=".join, many=True, expression=True)
EDGE_LABELS = Kind(metavar="TASK=TEXT…", read=_read_edge_label, write="=".join, many=True)
ERRORS = Kind(metavar="ERROR…", read=_read_error_name, many=True, commas=True)
DEADLINE = Kind(metavar="TIME", read=_read_deadline, none=True)
DATE = Kind(metavar="DATE", read=_read_date, write=_write_date, none=True)
ZONE = Kind(metavar="ZONE", read=_read_zone, choices=zoneinfo.available_timezones)
SCHEDULE = Kind(
    metavar="WHEN", read=_read_text, none=True, span=_span_of_schedule, choices=lambda: (*PRESETS, "'every 15m'")
)
TRIGGER = choice(
    "RULE",
    "all_success",
    "all_failed",
    "all_done",
    "all_skipped",
    "one_success",
    "one_failed",
    "one_done",
    "none_failed",
    "none_failed_min_one_success",
    "none_skipped",
    "all_done_min_one_success",
    "all_done_setup_success",
    "always",
)
ATTACHMENT = choice("FORM", "html")
WEIGHT = choice("RULE", "downstream", "upstream", "absolute")
