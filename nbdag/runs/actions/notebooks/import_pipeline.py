"""Turn pipelines of other tools into notebooks with tagged cells."""

from __future__ import annotations

import os
from pathlib import Path

from ....core.options.option_types import nearest
from ....errors import NbdagError, error
from ....migrate.formats import FORMATS, Imported, ImportSourceError, detect


@error
class UnknownFormatError(NbdagError):
    """No format that can be imported has this name."""

    exit_code = 2

    name: str
    template = "unknown format {name!r}; {hint}"

    @property
    def hint(self) -> str:
        near = nearest(self.name, FORMATS)
        return f"did you mean {near}?" if near else f"expected one of {', '.join(FORMATS)}"


def import_pipeline(path: str | os.PathLike[str], *, format: str | None = None) -> Imported:
    """Return notebooks with the tasks of another tool's pipeline, and the parts that could not be converted.

    Nothing is executed or written. `format` is a name of `FORMATS` (default: the file's format). Raise
    `ImportSourceError` if the file cannot be imported.
    """
    source = Path(path)
    if format is not None and format not in FORMATS:
        raise UnknownFormatError(format)
    try:
        if format is None or not source.exists():
            format = detect(source)
        return FORMATS[format].read(source)
    except OSError as failure:
        reason = (failure.strerror or str(failure)).lower()
        raise ImportSourceError(os.fspath(path), f"cannot be read ({reason})", "check the path") from None
