"""Snapshots of outputs: a value becomes JSON, and later values are compared with it.

Numbers may differ by a relative tolerance. Tables are compared by cell, and images by their pixels if Pillow is
installed, else by their bytes. A reported difference names its place, as in `outputs.accuracy: 0.91 became 0.87`.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from datetime import date, time
from hashlib import sha256
from io import BytesIO
from pathlib import Path, PurePath
from typing import Any

from ..rehearse.compare.data import data_differences
from ..rehearse.compare.texts import meaningful, without_addresses
from ..writing import write_atomically
from .shell import Display
from .task import TaskResult

_MOST_NUMBERS = 100_000  # maximum number of elements of an array in a snapshot; a larger array becomes a digest
_MOST_DIFFERENCES = 20
_VOLATILE = ("text/html", "image/svg+xml")  # MIME types whose data contain new ids in each execution


class SnapshotError(AssertionError):
    """A value differs from its snapshot, or there is no snapshot yet."""


class Snapshots:
    """The snapshots of one test."""

    def __init__(self, folder: Path, test: str, *, update: bool) -> None:
        self._folder, self._test, self._update = folder, test, update
        self._number = 0

    def check(self, value: Any, name: str = "", *, tolerance: float = 1e-9) -> None:
        """Compare a value with its snapshot. With --nbdag-update, write the value as the new snapshot instead.

        `name` distinguishes several snapshots of one test; without it they are numbered. `tolerance` is the relative
        difference by which numbers may differ.
        """
        __tracebackhide__ = True
        self._number += 1
        suffix = f".{name}" if name else f".{self._number}" if self._number > 1 else ""
        path = self._folder / f"{re.sub(r'[^A-Za-z0-9_.=,-]', '_', f'{self._test}{suffix}')}.json"
        now = plain(value)
        if self._update:
            path.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps(now, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
            write_atomically(path, text.encode(), private=False)
            return
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise SnapshotError(f"there is no snapshot {path} yet; write it with: pytest --nbdag-update") from None
        except ValueError as failure:
            raise SnapshotError(f"{path} is not JSON ({failure}); overwrite it with: pytest --nbdag-update") from None
        found = list(data_differences(before, json.loads(json.dumps(now)), tolerance))
        if found:
            more = [f"… and {len(found) - _MOST_DIFFERENCES} more"] if len(found) > _MOST_DIFFERENCES else []
            lines = "\n".join(f"  {each}" for each in [*found[:_MOST_DIFFERENCES], *more])
            raise SnapshotError(f"{path.name} differs; if the new value is right, run: pytest --nbdag-update\n{lines}")


def plain(value: Any) -> Any:
    """Convert a value to JSON data. Parts that differ between equal values, such as memory addresses, are removed."""
    if isinstance(value, TaskResult):
        shown = {"outputs": plain(value.outputs), "displays": [plain(each) for each in value.displays]}
        more = {"stdout": meaningful(value.stdout), "skipped": value.skipped, "chosen": plain(value.chosen)}
        return shown | {key: each for key, each in more.items() if each}
    if isinstance(value, Display):
        kept = {mime: each for mime, each in value.data.items() if mime not in _VOLATILE or len(value.data) == 1}
        if any(mime.startswith("image/") for mime in kept):
            kept.pop("text/plain", None)  # the text has a figure's size and memory address
        return {mime: _form(mime, each) for mime, each in kept.items()}
    if value is None or isinstance(value, bool | int | str):
        return without_addresses(value) if isinstance(value, str) else value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, set | frozenset):
        return {"set": sorted((plain(each) for each in value), key=lambda each: json.dumps(each, sort_keys=True))}
    if isinstance(value, date | time):
        return {type(value).__name__: value.isoformat()}
    if isinstance(value, PurePath):
        return {"path": value.as_posix()}
    if isinstance(value, bytes):
        return {"bytes": len(value), "sha256": sha256(value).hexdigest()}
    return _of_library(value)


def _form(mime: str, data: Any) -> Any:
    if mime.startswith("image/"):
        return _image(data)
    return meaningful(data) if isinstance(data, str) else plain(data)


def _of_library(value: Any) -> Any:
    kind = f"{type(value).__module__.partition('.')[0]}.{type(value).__qualname__}"
    if hasattr(value, "to_dict") and kind.startswith("pandas."):
        if kind == "pandas.DataFrame":
            columns = {str(name): plain(list(value.iloc[:, n])) for n, name in enumerate(value.columns)}
            return {"type": kind, "columns": columns, "index": plain(list(value.index))}
        return {"type": kind, "values": plain(list(value)), "index": plain(list(getattr(value, "index", ())))}
    if kind == "polars.DataFrame":
        return {"type": kind, "columns": {name: plain(value[name].to_list()) for name in value.columns}}
    if kind.startswith("polars.") and hasattr(value, "to_list"):
        return {"type": kind, "values": plain(value.to_list())}
    if kind == "numpy.ndarray":
        found = {"type": kind, "shape": list(value.shape), "dtype": str(value.dtype)}
        if value.size > _MOST_NUMBERS:
            return found | {"sha256": sha256(value.tobytes()).hexdigest()}
        return found | {"values": plain(value.tolist())}
    if kind.startswith("numpy.") and hasattr(value, "item"):
        item = value.item()
        return plain(item) if not type(item).__module__.startswith("numpy") else {"type": kind, "text": str(item)}
    if isinstance(value, type) or callable(value):
        return {"type": kind, "name": getattr(value, "__qualname__", kind)}
    return {"type": kind, "text": without_addresses(repr(value))}


def _image(data: Any) -> Any:
    """Return a digest of an image: of its pixels if Pillow can read them."""
    content = data if isinstance(data, bytes) else None
    if content is None:
        try:
            content = base64.b64decode(data, validate=False)
        except (ValueError, TypeError):
            return plain(data)
    try:
        from PIL import Image

        with Image.open(BytesIO(content)) as image:
            return {"size": list(image.size), "pixels": sha256(image.convert("RGBA").tobytes()).hexdigest()}
    except Exception:  # no Pillow, or another format
        return {"bytes": len(content), "sha256": sha256(content).hexdigest()}
