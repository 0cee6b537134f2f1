"""Mask secret values in text: replace them by `***`, in every form in which programs usually print them.

The forms are the value itself, URL-encoding, base64 (also inside a longer base64 text, such as an HTTP Basic header),
hexadecimal, and the escapes of `repr`, JSON, HTML and the shell. If a value has several lines, each line is found too.
If a value is a JSON object, each item whose key is the name of a secret is found too.

Reprs, tables and line breaks cut long texts, so parts of a value are found too: any 8 characters in a row of the value
or of its base64 text. A part that looks like words or numbers is not found: one word of the part must have a letter and
a digit, or a capital after a small letter. In a value of more than 4,000 characters, only longer parts are found. The
first and the last 16 characters of a value of at least 24 characters are always found, even if they look like words or
numbers.

Not found: values of fewer than 4 characters, which other texts would contain by chance; `true`, `none` and the like;
shorter parts, and parts that look like words or numbers; anything that is computed from a value, such as its hash or
its letters in another order; and a picture of the value.
"""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus

from .secret_names import MASK, is_secret

SHORTEST = 4  # minimum length of a value that is hidden, in characters
_SHORTEST_LINE = 8  # minimum length of a line that is hidden separately, in characters
_PIECE = 16  # length of the first and the last piece of a long value, in characters; texts are searched for these
_LONG = 24  # minimum length of a long value, in characters
_PART = 8  # minimum length of a part that is hidden, in characters
# At every `_STEP`-th position of a text, the next `_WINDOW` characters are looked up in a table of all secrets, so the
# cost does not depend on the number of secrets. Every part of `_PART` characters contains at least one whole window.
_WINDOW = 5
_STEP = _PART - _WINDOW + 1
_MAX_WINDOWS = 4000  # maximum number of windows per form; in a very long form, windows are further apart
_MAX_PLACES = 8  # maximum number of positions in a form that are tried for one window
_WORD = 4  # minimum length of a word that may show that a part is not ordinary text, in characters
_MIXED = re.compile(r"[^\W\d_].*\d|\d.*[^\W\d_]|[a-z][A-Z]")  # a letter and a digit, or a capital after a small letter
_FRAME = "-----"  # beginning of lines that are not secret, such as -----BEGIN PRIVATE KEY-----
_TRIVIAL = frozenset({"true", "false", "none", "null"})
# Sets of characters that libraries leave unescaped in URLs.
_SAFE = ("", "/", " +", "!$&'()*+,;=:@/?", "!#$%&'()*+,/:;=?@[]~")
_MAX_DEPTH = 50  # maximum nesting depth of data in which texts are masked


@dataclass(frozen=True, slots=True)
class _Needle:
    """A piece of one form of a value. If a text contains the piece, the longest matching part of the form is hidden."""

    piece: str
    form: str
    at: int  # position of the piece in the form

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield, for each occurrence of the piece, the longest span around it in which the text equals the form."""
        start = text.find(self.piece)
        while start >= 0:
            first, end = _equal_span(text, start, self.form, self.at, len(self.piece))
            if inner := text[first:end].strip("\r\n"):
                first = text.index(inner, first)
                yield first, first + len(inner)
            start = text.find(self.piece, start + 1)


def _equal_span(text: str, start: int, form: str, at: int, length: int) -> tuple[int, int]:
    """Return the longest span in which a text equals a form.

    The span includes `length` known equal characters, at `start` in the text and `at` in the form.
    """
    end, after = start + length, at + length
    first = start - _common_length(text[max(0, start - at) : start][::-1], form[:at][::-1])
    return first, end + _common_length(text[end : end + len(form) - after], form[after:])


def _common_length(one: str, other: str) -> int:
    """Return the length of the common beginning of two texts.

    A binary search is fast even if the beginning is long, as for a value "1111…" at each position of a text "1111…".
    """
    least, most = 0, min(len(one), len(other))
    while least < most:
        middle = (least + most + 1) // 2
        if one[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least


def _is_secret_part(text: str) -> bool:
    """Return whether a part of a value may be hidden: it is long enough, and does not look like a word or a number."""
    words = (word for word in text.split() if len(word) >= _WORD)
    return len(text) >= _PART and any(_MIXED.search(word) is not None for word in words)


class SecretValues:
    """A set of secret values, which the methods find and mask in texts."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._needles: tuple[_Needle, ...] = ()
        self._forms: tuple[str, ...] = ()
        self._windows: dict[str, list[tuple[str, int]]] = {}  # key: window; value: (form, position in it)

    def __bool__(self) -> bool:
        return bool(self._needles)

    def add(self, value: object) -> None:
        """Hide this value from now on. A number is hidden like its text; a very short value is not hidden."""
        text = str(value)
        if text in self._values or value is None:
            return
        self._values.add(text)
        known = {(each.piece, each.form): each for each in self._needles}
        for needle in _needles_of(text):
            known.setdefault((needle.piece, needle.form), needle)
        # Each tuple is replaced in one step, because other threads may be reading it.
        self._needles = tuple(known.values())
        self._forms = tuple(dict.fromkeys(each.form for each in known.values()))
        for window, found in _windows_of(text).items():
            self._windows[window] = [*self._windows.get(window, ()), *found]

    def mask(self, text: str) -> str:
        """Return the text with `***` in place of each secret value."""
        spans = self._spans(text)
        if not spans:
            return text
        parts, end = [], 0
        for first, last in spans:
            parts += [text[end:first], MASK]
            end = last
        return "".join((*parts, text[end:]))

    def are_in(self, text: str) -> bool:
        """Return whether a text contains a secret value."""
        return any(needle.piece in text for needle in self._needles) or any(True for _ in self._part_spans(text))

    def masked_part(self, text: str) -> tuple[str, str]:
        """Return the masked beginning of a text, and the rest, which may be the beginning of a secret."""
        end = self._beginning_at(text)
        if end < len(text):
            end = min((first for first, last in self._spans(text) if first < end < last), default=end)
        return self.mask(text[:end]), text[end:]

    def masked(self, data: Any, depth: int = 0) -> Any:
        """Return data (texts, lists, mappings); in every text, keys included, secret values are masked."""
        if not self._needles or depth > _MAX_DEPTH:
            return data
        if isinstance(data, str):
            return self.mask(data)
        if isinstance(data, Mapping):
            return {self.masked(key, depth + 1): self.masked(value, depth + 1) for key, value in data.items()}
        if isinstance(data, list | tuple):
            return [self.masked(each, depth + 1) for each in data]
        return data

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """Return the spans of a text that are secret, in order. Spans neither overlap nor touch."""
        spans = [span for needle in self._needles if needle.piece in text for span in needle.spans(text)]
        spans += self._part_spans(text)
        return list(_merged(sorted(spans))) if spans else []

    def _part_spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield each span of the text that repeats a part of a secret, if `_is_secret_part` accepts this part."""
        windows, hidden = self._windows, 0
        if not windows:
            return
        starts = range(0, len(text) - _WINDOW + 1, _STEP)
        for start in [each for each in starts if text[each : each + _WINDOW] in windows]:
            if start + _WINDOW <= hidden:
                continue
            for form, at in windows[text[start : start + _WINDOW]]:
                first, end = _equal_span(text, start, form, at, _WINDOW)
                if _is_secret_part(part := text[first:end]):
                    yield first + len(part) - len(part.lstrip()), first + len(part.rstrip())
                    hidden = max(hidden, end)

    def _beginning_at(self, text: str) -> int:
        """Return the position from which the rest of the text may be the beginning of a secret value.

        If there is no such position, return the length of the text.
        """
        first = len(text)
        for form in self._forms:
            start = max(0, len(text) - len(form) + 1)
            while (start := text.find(form[0], start)) >= 0 and start < first:
                if form.startswith(text[start:]):
                    first = start
                start += 1
        return first


def _merged(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the given sorted spans, with spans that overlap or touch merged."""
    first, last = spans[0]
    for start, end in spans[1:]:
        if start > last:
            yield first, last
            first, last = start, end
        last = max(last, end)
    yield first, last


def _needles_of(value: str) -> Iterator[_Needle]:
    for text in dict.fromkeys(_parts(value)):
        if len(text) < SHORTEST:
            continue
        for form in dict.fromkeys((*_escapes(text), *_encodings(text))):
            if form == text or text not in form:
                yield from _pieces(form, 0, len(form))
        for form, last in _base64_forms(text):
            yield from _pieces(form, 0, last)
    for line in _lines(value):
        for form in dict.fromkeys(_escapes(line)):
            if form == line or line not in form:
                yield from _pieces(form, 0, len(form))


def _parts(value: str) -> Iterator[str]:
    """Yield the value without lines such as -----BEGIN KEY-----.

    If the value is JSON, yield also the secret values in it.
    """
    if len(value) < SHORTEST or value.strip().lower() in _TRIVIAL or not value.strip():
        return
    lines = value.splitlines()
    inner = [line for line in lines if not line.strip().startswith(_FRAME)]
    if inner and len(inner) < len(lines):
        yield "\n".join(inner)
    else:
        yield value
        yield value.strip()
    if value.lstrip()[:1] in ("{", "["):
        try:
            yield from _secret_leaves(json.loads(value), False)
        except (ValueError, RecursionError):
            return


def _lines(value: str) -> Iterator[str]:
    """Yield the lines of a multi-line value, because programs often show single lines."""
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= _SHORTEST_LINE and not line.startswith(_FRAME))


def _secret_leaves(data: Any, inside: bool) -> Iterator[str]:
    if isinstance(data, Mapping):
        for name, each in data.items():
            yield from _secret_leaves(each, inside or is_secret(str(name)))
    elif isinstance(data, list):
        for each in data:
            yield from _secret_leaves(each, inside)
    elif isinstance(data, str) and inside:
        yield from _parts(data)
        yield from _lines(data)


def _escapes(text: str) -> Iterator[str]:
    yield text
    for escape in (_repr, _ascii, _bytes, _json, _json_ascii):
        escaped = escape(text)
        yield from (escaped, html.escape(escaped), html.escape(escaped, quote=False))
        for quoted in (escaped, text):
            yield _repr(quoted)  # a repr inside a repr, such as that of an exception in another exception
            yield _json(quoted)
            again = quoted.replace("\\", r"\\")
            yield from (again, again.replace("'", r"\'"), again.replace('"', r"\""))
    for quotes in (False, True):
        yield html.escape(text, quote=quotes)
    yield html.escape(text).replace("&#x27;", "&#39;")
    if "'" in text:
        yield shlex.quote(text)[1:-1]
    yield text.replace("'", "'\\''")


def _encodings(text: str) -> Iterator[str]:
    for safe in _SAFE:
        quoted = quote(text, safe=safe, errors="replace")
        yield quoted
        yield _lower_escapes(quoted)
    yield quote_plus(text, errors="replace")
    yield _lower_escapes(quote_plus(text, errors="replace"))
    data = text.encode(errors="replace")
    yield data.hex()
    yield data.hex().upper()
    if len(data) > 57:  # `base64.encodebytes` starts a new line after 57 bytes
        yield from (line for line in base64.encodebytes(data).decode().split() if len(line) >= _PIECE)


def _repr(text: str) -> str:
    return repr(text)[1:-1]


def _ascii(text: str) -> str:
    return ascii(text)[1:-1]


def _bytes(text: str) -> str:
    return repr(text.encode(errors="replace"))[2:-1]


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _json_ascii(text: str) -> str:
    return json.dumps(text)[1:-1]


def _lower_escapes(quoted: str) -> str:
    return re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), quoted)


def _base64_forms(text: str) -> Iterator[tuple[str, int]]:
    """Yield the characters that represent the text inside a longer base64 text, and how many of them are certain.

    The characters depend on the text's offset within groups of three bytes. The first and last characters may also
    depend on other bytes.
    """
    data = text.encode(errors="replace")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            form = encode(bytes(before) + data).decode()[(0, 2, 3)[before] :]
            certain = len(form.rstrip("=")) - ((before + len(data)) % 3 != 0)
            if certain >= SHORTEST + 1:
                yield form, certain


def _pieces(form: str, first: int, last: int) -> Iterator[_Needle]:
    """Yield short pieces of `form[first:last]`.

    A text is searched for the pieces, because only a text with such a piece can contain the form.
    """
    if last - first < _LONG:
        yield _Needle(form[first:last], form, first)
    else:
        yield _Needle(form[first : first + _PIECE], form, first)
        yield _Needle(form[last - _PIECE : last], form, last - _PIECE)


def _windows_of(value: str) -> dict[str, list[tuple[str, int]]]:
    """Return the windows by which parts of a value are found.

    Key: window; value: the forms that contain the window, each with the window's position in the form.
    """
    texts = [text for text in dict.fromkeys(_parts(value)) if len(text) >= SHORTEST]
    forms = dict.fromkeys(form for text in texts for form in ((text, len(text)), *_base64_forms(text)))
    found: dict[str, list[tuple[str, int]]] = {}
    for form, last in forms:
        if last <= _PART or not _is_secret_part(form[:last]):
            continue
        places: dict[str, list[tuple[str, int]]] = {}
        # The interval is odd, so that some window meets a position at which texts are searched (`_STEP` is even).
        for at in range(0, last - _WINDOW + 1, last // _MAX_WINDOWS | 1):
            window = form[at : at + _WINDOW]
            # Windows of one repeated character, as in "-----", occur in many texts and would match at each character.
            if len(set(window)) > 1 and len(places.setdefault(window, [])) < _MAX_PLACES:
                places[window].append((form, at))
        for window, of_form in places.items():
            found.setdefault(window, []).extend(of_form)
    return found
