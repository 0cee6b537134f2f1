"""The elements over which a mapped task runs: of several maps the product, the last one fastest, or in step."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from ..errors import NbdagError


class MapError(NbdagError):
    """The elements of a mapped task cannot be had."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}"


def elements(
    maps: Sequence[tuple[str, str]], in_step: bool, limit: int, namespace: dict[str, Any]
) -> list[tuple[Any, ...]]:
    """One tuple per instance, in the order of the maps. Raises `MapError`."""
    found: list[tuple[Any, ...]] = []
    for variable, expression in maps:
        told = f"--map {variable}={expression}"
        try:
            values = tuple(eval(compile(expression.strip(), "<header>", "eval"), namespace))
        except Exception as error:
            raise MapError(f"{told} cannot be told ({type(error).__name__}: {error})", "map over a list") from error
        found.append(values)
    lengths = {len(values) for values in found}
    if in_step and len(lengths) > 1:
        told = ", ".join(f"{variable} {len(values)}" for (variable, _), values in zip(maps, found, strict=True))
        raise MapError(
            f"--zip goes through lists of different lengths ({told})", "make them equally long, or drop --zip"
        )
    count = 1
    for values in found:
        count *= len(values)
    count = min(lengths) if in_step else count
    if count > limit:
        raise MapError(f"--map makes {count} instances, more than {limit}", f"allow them: --max-map-length {count}")
    return list(zip(*found, strict=True)) if in_step else list(product(*found))
