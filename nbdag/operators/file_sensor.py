"""The operator `file-sensor`: a task that waits until files exist.

    %%task arrived --operator file-sensor --poke 1m --timeout 6h --out files
    inbox/{day}/*.csv
    s3://lake/orders/{day}/_SUCCESS

Each line is a path or a pattern (`*`, `?`, `[ab]`, `**` for folders); all lines must match. A relative path begins at
the notebook's folder, as in any cell. fsspec searches paths with `://`. `{name}` is a value of the notebook, which is
matched literally: a `*` in the value is not a pattern. With `--out NAME`, NAME is the sorted list of the found paths.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path

from ..core.options import option_types
from ..core.options.operator_options import operator_option
from ..core.options.options import TaskOptions
from ..errors import NbdagError
from .base import OperatorError
from .bodies.calls import Piece, assigned, fields, filled, only_name, write_call, write_pieces
from .sensor import Sensor


class FileSensor(Sensor):
    """Translates paths into a call of `found_files`."""

    summary = (
        "Each line of the body is a path or a pattern; the task waits until all of them match. {name} is a value of "
        "the notebook. --out NAME is the list of the found paths."
    )
    example = "%%task arrived --operator file-sensor --poke 1m --timeout 6h --out files\ninbox/{day}/*.csv"
    own_options = (
        operator_option("least", option_types.integer(1), "files that each line must match; default 1", default=1),
    )

    def source(self, body: str, options: TaskOptions) -> str:
        if not body.strip():
            raise OperatorError("the cell names no file", hint="write a path below the header")
        out = only_name(options.out, "a file-sensor has one list of paths")
        least = self.given(options)["least"]
        keywords = {} if least == 1 else {"least": least}
        call = write_call(
            "nbdag.operators.file_sensor:found_files", write_pieces(body, fields(body), what="the paths"), **keywords
        )
        return assigned(out, call, sensor=True)


def found_files(*pieces: Piece, least: int = 1) -> list[str]:
    """Return the sorted paths that match the patterns; no paths if a pattern matches fewer than `least`."""
    found: set[str] = set()
    patterns = filled(pieces, lambda value, before: glob.escape(_one_line(value)), what="the paths")
    for pattern in patterns.split("\n"):
        if not pattern.strip():
            continue
        paths = sorted(_matching(pattern.strip()))
        if len(paths) < least:
            return []
        found.update(paths)
    return sorted(found)


def _one_line(value: str) -> str:
    if "\n" in value or "\0" in value:
        kind = "a line break" if "\n" in value else "a NUL character"
        raise NbdagError(f"the value {value!r} contains {kind}, so it is not a path; pass another value")
    return value


def _matching(pattern: str) -> Iterator[str]:
    if "://" in pattern:
        import fsspec  # imported here because it is slow to import and most files are local

        system, path = fsspec.core.url_to_fs(pattern)
        yield from (system.unstrip_protocol(each) for each in system.glob(path))
    else:
        yield from glob.iglob(str(Path(pattern).expanduser()), recursive=True)  # noqa: PTH207  # `Path.glob` accepts no absolute pattern
