"""Airflow's assets, in schedules and as `outlets`: `schedule=[Asset("s3://lake/orders")]`, `outlets=[Asset("rates")]`.

An asset of nbdag has one name: the `uri` of Airflow's asset, or its `name` if there is no `uri`. A schedule becomes a
condition of `%dag --schedule`, such as `on s3://lake/orders and rates`, and `outlets` become `--produces`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from ..core.options import option_types
from ..operators import OperatorError


class _Condition(ABC):
    """A condition on assets in a schedule. `&` and `|` combine two conditions."""

    @abstractmethod
    def text(self, *, inside: bool = False) -> str:
        """Return the condition in the syntax of `--schedule`. With `inside`, put a combination in parentheses."""

    def __and__(self, other: Any) -> AssetAll:
        return AssetAll(self, other)

    def __or__(self, other: Any) -> AssetAny:
        return AssetAny(self, other)


class Asset(_Condition):
    """A piece of data, named by its `uri` or, without one, by its `name`."""

    def __init__(self, name: str | None = None, uri: str | None = None, **others: Any) -> None:
        for keyword in others.keys() - {"group", "extra"}:
            raise OperatorError(f"unknown keyword {keyword} for Asset", hint="write Asset('s3://lake/orders')")
        given = uri or name
        if not isinstance(given, str):
            raise OperatorError("an Asset needs a name or a uri", hint="write Asset('s3://lake/orders')")
        try:
            self.uri = option_types.read_asset(given)
        except ValueError as error:
            message, _, hint = str(error).partition("; ")
            raise OperatorError(f"{given!r} {message}", hint=hint) from None
        self.name = name or given

    def text(self, *, inside: bool = False) -> str:
        return self.uri

    def __repr__(self) -> str:
        return f"Asset({self.uri!r})"


class _Several(_Condition):
    word = ""

    def __init__(self, *parts: Any) -> None:
        for each in parts:
            if not isinstance(each, _Condition):
                raise OperatorError(f"{each!r} is no asset", hint="write Asset('s3://lake/orders')")
        if not parts:
            raise OperatorError(f"{type(self).__name__} has no asset", hint="write AssetAll(Asset('a'), Asset('b'))")
        self.parts: tuple[_Condition, ...] = parts

    def text(self, *, inside: bool = False) -> str:
        if len(self.parts) == 1:
            return self.parts[0].text(inside=inside)
        joined = f" {self.word} ".join(each.text(inside=True) for each in self.parts)
        return f"({joined})" if inside else joined


class AssetAll(_Several):
    """A condition that is met when all its parts are met."""

    word = "and"


class AssetAny(_Several):
    """A condition that is met when one of its parts is met."""

    word = "or"


class AssetOrTimeSchedule:
    """A schedule with a timetable and a condition on assets: `AssetOrTimeSchedule(timetable=…, assets=[…])`."""

    def __init__(self, *, timetable: Any, assets: Any = None, datasets: Any = None) -> None:
        found = condition_of(assets if assets is not None else datasets)
        if found is None:
            raise OperatorError("AssetOrTimeSchedule has no assets", hint="write assets=[Asset('s3://lake/orders')]")
        self.timetable = timetable
        self.condition: _Condition = found


def condition_of(value: Any) -> _Condition | None:
    """Return a schedule's condition on assets, or None if it has no such condition."""
    if isinstance(value, _Condition):
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(each, _Condition) for each in value):
        return AssetAll(*value)
    return None


def names_of(value: Any) -> list[str]:
    """Return the names of the assets in `outlets`. Raise `OperatorError`."""
    given: Iterable[Any] = [value] if isinstance(value, str | Asset) else value
    found = [Asset(each) if isinstance(each, str) else each for each in given]
    for each in found:
        if not isinstance(each, Asset):
            raise OperatorError(f"{each!r} is no asset", hint="write Asset('s3://lake/orders')")
    return [each.uri for each in found]
