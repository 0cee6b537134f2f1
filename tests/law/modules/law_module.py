"""A module of the user, with classes, state and functions of every kind that the law's notebooks use."""

from __future__ import annotations

import dataclasses
import itertools
import random
import threading
from typing import Any

STATE: list[Any] = []
TABLE: dict[Any, Any] = {}
N = 0
MISSING = object()
_ids = itertools.count()


class Item:
    """An object with ordinary attributes, whose class counts its objects."""

    made = 0

    def __init__(self, xs: list[Any]) -> None:
        Item.made += 1
        self.xs = xs
        self.n = 0

    def grow(self, value: Any = 1) -> int:
        self.xs.append(value)
        self.n += 1
        return self.n

    def part(self) -> list[Any]:
        return self.xs


class Slotted:
    """The same without a dictionary."""

    __slots__ = ("n", "xs")

    def __init__(self, xs: list[Any]) -> None:
        self.xs = xs
        self.n = 0

    def grow(self, value: Any = 1) -> int:
        self.xs.append(value)
        self.n += 1
        return self.n

    def part(self) -> list[Any]:
        return self.xs


@dataclasses.dataclass
class Pair:
    """A value with two parts."""

    one: Any
    other: Any = None

    def swap(self) -> Pair:
        self.one, self.other = self.other, self.one
        return self


class Locked(Item):
    """An object that cannot be pickled."""

    def __init__(self, xs: list[Any]) -> None:
        super().__init__(xs)
        self.lock = threading.Lock()


class Sampler:
    """Draws from a generator that its maker may hold, too."""

    __slots__ = ("rng",)

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def draw(self) -> int:
        return self.rng.randrange(100)


def make(seed: int) -> tuple[random.Random, Sampler]:
    rng = random.Random(seed)
    return rng, Sampler(rng)


def push(values: Any, value: Any) -> int:
    values.append(value)
    return len(values)


def grow() -> int:
    STATE.append(len(STATE))
    return len(STATE)


def configure(value: int) -> None:
    global N
    N = value


def fresh() -> int:
    return next(_ids)


def remember(key: Any, value: Any) -> Any:
    TABLE[key] = value
    return value
