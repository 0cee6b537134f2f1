"""Compare two texts whose numbers may differ within a tolerance.

First, parts without a meaning are removed: colours, addresses of objects, names of temporary folders and of the
kernel's own files, progress bars, and the durations that %time prints.
"""

from __future__ import annotations

import math
import re

TOLERANCE = 1e-6  # numbers count as equal up to this relative difference
_NEAR_ZERO = 1e-12  # numbers count as equal up to this absolute difference
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d[\d_]*(?:,\d{3})*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]*[A-Za-z_])")
_ADDRESS = re.compile(r"(?<= at )0x[0-9a-fA-F]+")
_MEANINGLESS = (
    (re.compile(r"\x1b\[[0-9;?]*[A-Za-z]"), ""),
    (re.compile(r"[^\n]*\r(?!\n)"), ""),  # a terminal overwrites what is before a carriage return
    (_ADDRESS, "0x…"),
    (re.compile(r"(?:/[\w.-]+)*/(?:ipykernel_\d+|tmp\w{6,8})\b(?:/\d+\.py)?"), "<temporary>"),
    (re.compile(r"^[^\n]*\d+%\|[^\n]*\|[^\n]*(?:it/s|s/it)[^\n]*$", re.MULTILINE), "<progress>"),
    (re.compile(r"^(?:CPU times|Wall time|Compiler *):[^\n]*$", re.MULTILINE), "<duration>"),
    (re.compile(r"^[^\n]*(?:±|\+-)[^\n]* per loop[^\n]*$", re.MULTILINE), "<duration>"),
)


def meaningful(text: str) -> str:
    """Return a text without the parts that have no meaning, and without blanks at the ends of its lines."""
    text = text.replace("\r\n", "\n")
    for pattern, replacement in _MEANINGLESS:
        text = pattern.sub(replacement, text)
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))


def without_addresses(text: str) -> str:
    """Return a text without the addresses of objects; all else stays as it is."""
    return _ADDRESS.sub("0x…", text)


def equal_numbers(first: float, second: float, tolerance: float = TOLERANCE) -> bool:
    """Return whether two numbers differ by no more than the relative tolerance."""
    if math.isnan(first) or math.isnan(second):
        return math.isnan(first) and math.isnan(second)
    return math.isclose(first, second, rel_tol=tolerance, abs_tol=_NEAR_ZERO)


def equal_texts(first: str, second: str, tolerance: float = TOLERANCE) -> bool:
    """Return whether two texts are equal, apart from numbers that differ within the tolerance."""
    first, second = meaningful(first), meaningful(second)
    if first == second:
        return True
    parts, others = _NUMBER.split(first), _NUMBER.split(second)
    # Numbers in columns have different widths, so blanks do not count.
    if [" ".join(part.split()) for part in parts] != [" ".join(part.split()) for part in others]:
        return False
    numbers = zip(_NUMBER.findall(first), _NUMBER.findall(second), strict=True)
    return all(a == b or equal_numbers(_value(a), _value(b), tolerance) for a, b in numbers)


def text_difference(first: str, second: str, tolerance: float = TOLERANCE) -> str | None:
    """Return the first lines that differ, such as "line 2: '3 rows' became '4 rows'"; None if the texts are equal."""
    if equal_texts(first, second, tolerance):
        return None
    before, after = meaningful(first).split("\n"), meaningful(second).split("\n")
    for number, (a, b) in enumerate(zip(before, after, strict=False), 1):
        if not equal_texts(a, b, tolerance):
            where = f"line {number}: " if len(before) > 1 or len(after) > 1 else ""
            return f"{where}{change(a, b)}"
    if len(before) < len(after):
        return f"{shown(after[len(before)])} was added"
    return f"{shown(before[len(after)])} is missing"


def change(first: str, second: str, width: int = 60) -> str:
    """Return "'a' became 'b'"; long texts are cut to the parts around the first difference."""
    if max(len(first), len(second)) > width:
        different = (n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
        same = next(different, min(len(first), len(second)))
        start = max(0, same - width // 3)
        if start:
            first, second = f"…{first[start:]}", f"…{second[start:]}"
    return f"{shown(first, width)} became {shown(second, width)}"


def shown(text: str, width: int = 60) -> str:
    """Return a text in quotes, cut to a width."""
    return repr(text if len(text) <= width else f"{text[: width - 1]}…")


def _value(text: str) -> float:
    return float(text.replace("_", "").replace(",", ""))
