"""Schedules that wait for data: `on s3://lake/orders and (s3://lake/rates or after churn)`.

An asset is a piece of data, named by a URL or any other word. When a task with `--produces ASSET` succeeds, it creates
an event of the asset. When a run succeeds, it creates an event of the asset `dag:ID`; in a schedule, this asset is
written `after ID`. The condition of a schedule is met when its assets have new events. As in Airflow, each pipeline
uses an event only once, and a run uses all events that its pipeline has not used yet.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import PurePath

from ..options.option_types import SCHEDULE_WORDS, read_asset, read_id

FILE_PREFIX = "file:"  # the asset `file:PATH` is a file that schedulers watch
DAG_PREFIX = "dag:"  # the asset `dag:ID` has an event for each successful run of the pipeline ID
_TOKEN = re.compile(r"[()]|[^\s()]+")


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on assets: one asset, or conditions joined by `and` (all must be met) or by `or` (one suffices)."""

    name: str = ""
    parts: tuple[Condition, ...] = ()
    any: bool = False  # whether it is enough that one of `parts` is met

    @property
    def assets(self) -> tuple[str, ...]:
        """Return the names of the assets in the order of the text, without duplicates."""
        return tuple(dict.fromkeys(self._names()))

    def met(self, new: Collection[str]) -> bool:
        """Return whether the condition is met when these assets have new events."""
        if self.name:
            return self.name in new
        return (any if self.any else all)(part.met(new) for part in self.parts)

    def located(self, folder: str) -> Condition:
        """Return this condition with absolute paths of files, as the function `located` returns them."""
        name = located(self.name, folder) if self.name else ""
        return Condition(name, tuple(part.located(folder) for part in self.parts), self.any)

    def missing(self, new: Collection[str]) -> tuple[str, ...]:
        """Return the assets from which the condition still needs new events; () if the condition is met."""
        return tuple(name for name in self.assets if name not in new) if not self.met(new) else ()

    def _names(self) -> Iterator[str]:
        if self.name:
            yield self.name
        for part in self.parts:
            yield from part._names()


def is_condition(schedule: str) -> bool:
    """Return whether a schedule waits for assets; `parse` reads such a schedule."""
    return schedule.split(maxsplit=1)[0].lower() in ("on", "after") if schedule.strip() else False


def parse(schedule: str) -> tuple[Condition, str | None]:
    """Return the condition of a schedule, and the time after `or at`, which is None if there is no `or at`.

    Raise `ValueError` with the problem and the advice, separated by "; ".
    """
    text, time = _split_time(schedule)
    return _Parser(_TOKEN.findall(text)).whole(), time


def located(asset: str, folder: str) -> str:
    """Return the name of an asset, with an absolute path if the asset is a file.

    A file thus has the same name in all pipelines. A relative path starts at `folder`, the working directory of the
    pipeline that names the asset.
    """
    if not asset.startswith(FILE_PREFIX):
        return asset
    path = asset.removeprefix(FILE_PREFIX)
    path = path[2:] if path.startswith("//") else path
    return FILE_PREFIX + os.path.normpath(PurePath(glob.escape(folder)) / path)


def label(asset: str) -> str:
    """Return an asset's name as a schedule writes it: `after churn` for the asset `dag:churn`."""
    return f"after {asset.removeprefix(DAG_PREFIX)}" if asset.startswith(DAG_PREFIX) else asset


def named(text: str) -> str:
    """Return the asset that a schedule calls `text`: `dag:churn` for `after churn`. This reverses `label`."""
    first, _, dag = text.partition(" ")
    return f"{DAG_PREFIX}{dag.strip()}" if first == "after" else text


def _split_time(schedule: str) -> tuple[str, str | None]:
    match = re.fullmatch(r"(.*?)\s+or\s+at\s+(.+)", schedule, re.IGNORECASE | re.DOTALL)
    if match is None:
        return schedule, None
    time = " ".join(match[2].split())
    clock = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", time)
    return match[1], f"{int(clock[2])} {int(clock[1])} * * *" if clock else time


class _Parser:
    """Reads a condition: `and` binds more tightly than `or`; `on` and `after` apply to all names that follow them."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._dags = False  # whether the next names are pipelines, because they follow the word `after`

    def whole(self) -> Condition:
        condition = self._any()
        if (token := self._next()) is not None:
            where = "has no matching (" if token == ")" else "is not joined to the asset before it"
            raise ValueError(f"has {token!r}, which {where}; write and, or between two assets")
        return condition

    def _any(self) -> Condition:
        parts = [self._all()]
        while self._word() == "or":
            self._at += 1
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Condition(parts=tuple(parts), any=True)

    def _all(self) -> Condition:
        parts = [self._one()]
        while self._word() == "and":
            self._at += 1
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else Condition(parts=tuple(parts))

    def _one(self) -> Condition:
        while (word := self._word()) in ("on", "after"):
            self._at += 1
            self._dags = word == "after"
        token = self._next()
        if token is None or token == ")" or word in SCHEDULE_WORDS:
            shown = "its end" if token is None else repr(token)
            raise ValueError(f"has no asset before {shown}; write, for example, 'on s3://lake/orders' or 'after churn'")
        self._at += 1
        if token == "(":
            condition = self._any()
            if self._next() != ")":
                raise ValueError("has a ( without a matching ); add the parenthesis")
            self._at += 1
            return condition
        if self._dags:
            try:
                return Condition(DAG_PREFIX + read_id(token))
            except ValueError as error:
                raise ValueError(f"has {token!r}, which {error}") from None
        return Condition(read_asset(token))

    def _next(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _word(self) -> str:
        return (self._next() or "").lower()
