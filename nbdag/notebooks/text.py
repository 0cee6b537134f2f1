"""Read text notebooks (`.py`, `.md` and the like) with jupytext, as notebooks of format 4.

The same text always gives the same result. So the result has no cell ids: jupytext would generate new ids each time.
The metadata of a code cell has the line of the text file at which the cell's source begins, for messages.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path, PurePath
from typing import Any

from ..core.model.cell_tags import TEXT_LINE

SUFFIXES = (".py", ".md", ".markdown", ".rmd", ".qmd")  # suffixes of text notebooks, in lower case
_SETTINGS = ("jupytext.toml", ".jupytext.toml", "jupytext.yml", ".jupytext.yml", ".jupytext")
_READ = 64 << 10  # number of bytes at the start of a text file that are searched for a task
_TASK = re.compile(rb"^(?:# ?)?%%(?:task|dag)\b", re.MULTILINE)
_MARGIN = 1.0  # seconds; if one program saves both files of a pair, their times differ by at most this


@dataclass
class ConversionError(Exception):
    """A text notebook cannot be converted."""

    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class Pair:
    """A text notebook that is read instead of its paired `.ipynb` file."""

    path: Path
    content: bytes  # the text notebook as JSON of format 4


def is_text(path: str | os.PathLike[str]) -> bool:
    """Return whether a file with this name is read as a text notebook."""
    return PurePath(path).suffix.lower() in SUFFIXES


def is_notebook(path: str | os.PathLike[str]) -> bool:
    """Return whether this is the name of a notebook: an `.ipynb` file or a text notebook."""
    return PurePath(path).suffix == ".ipynb" or is_text(path)


def stem_of(name: str) -> str:
    """Return the name of a notebook's file without its suffix."""
    suffix = next((each for each in (".ipynb", *SUFFIXES) if name.lower().endswith(each)), "")
    return name.removesuffix(name[-len(suffix) :]) if suffix else name


def to_notebook(text: str, path: Path) -> bytes:
    """Return a text notebook as JSON of format 4.

    Raise `ConversionError` if jupytext is not installed or rejects the text.
    """
    jupytext = _jupytext("read")
    from jupytext.config import JupytextConfigurationError, load_jupytext_config

    if not text.strip():
        raise ConversionError("is empty", "write cells into it, such as # %% in a .py file")
    try:
        config = load_jupytext_config(str(path.absolute()))
        notebook = jupytext.reads(text, _format(text, path), config=config)
    except JupytextConfigurationError as failure:
        raise ConversionError(
            f"cannot be read with the folder's jupytext settings ({_line(failure)})", "correct them"
        ) from None
    except Exception as failure:  # jupytext raises errors of its parsers
        raise ConversionError(f"cannot be read by jupytext ({_line(failure)})", "correct the text") from None
    lines = _first_lines(text.splitlines(), notebook.cells)
    cells = [_cell(cell, line) for cell, line in zip(notebook.cells, lines, strict=True)]
    content = {"cells": cells, "metadata": _plain(notebook.metadata), "nbformat": 4, "nbformat_minor": 4}
    return (json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n").encode()


def _jupytext(purpose: str) -> Any:
    """Import jupytext; raise `ConversionError` if it is not installed.

    The import omits a slow module of jsonschema that notebooks do not need. So it takes 0.4 s instead of 1.5 s.
    """
    hidden = "jsonschema" not in sys.modules and "rfc3987_syntax" not in sys.modules
    if hidden:
        sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
    try:
        import jupytext
    except ImportError:
        hint = f"install jupytext to {purpose} it: pip install jupytext"
        raise ConversionError("is a text notebook", hint) from None
    finally:
        if hidden:
            del sys.modules["rfc3987_syntax"]
    return jupytext


def _format(text: str, path: Path) -> dict[str, str]:
    """Return what jupytext cannot detect by itself about the format of a text.

    jupytext would read MyST without metadata as Markdown, and its code cells as quoted text.
    """
    form = {"extension": path.suffix}
    if path.suffix in (".md", ".markdown") and re.search(r"^ *```+ *\{code-cell", text, re.MULTILINE):
        form["format_name"] = "myst"
    return form


def to_text(notebook: bytes, path: Path) -> bytes:
    """Return a notebook as the text of a text notebook with this name; raise `ConversionError` if that fails."""
    jupytext = _jupytext("write")
    content = jupytext.reads(notebook.decode(), {"extension": ".ipynb"})
    representation = content.metadata.get("jupytext", {}).get("text_representation", {})
    same = representation.get("extension") == path.suffix
    name = representation.get("format_name") if same else {".py": "percent", ".md": "myst"}.get(path.suffix)
    form = {"extension": path.suffix} | ({"format_name": name} if name else {})
    try:
        return str(jupytext.writes(content, form)).encode()
    except Exception as failure:  # quarto and pandoc are programs that may be missing
        raise ConversionError(
            f"cannot be written by jupytext ({_line(failure)})", "choose .ipynb, .py or .md"
        ) from None


def with_sources(text: str, path: Path, notebook: bytes) -> str | None:
    """Return the text notebook `text` with the cell sources of `notebook`, which is `text` converted and then repaired.

    All other lines stay as they are. Return None if the cells cannot be changed line by line.
    """
    old, new = (json.loads(each)["cells"] for each in (to_notebook(text, path), notebook))
    lines = text.splitlines(keepends=True)
    if len(old) != len(new):
        return None
    for before, after in reversed(list(zip(old, new, strict=True))):
        first = before["metadata"].get("nbdag", {}).get(TEXT_LINE)
        if before["source"] == after["source"]:
            continue
        if first is None:
            return None
        own, made = before["source"].splitlines(), after["source"].splitlines()
        kept = lines[first - 1 : first - 1 + len(own)]
        newline = "\r\n" if kept[0].endswith("\r\n") else "\n"
        comments = path.suffix == ".py" and "%" not in {line[:1] for line in kept}  # whether magics are comments
        changed: list[str] = []
        if kept[-1].splitlines() == [kept[-1]]:  # the last line of a file that ends without a newline
            kept[-1] += newline
        for kind, start, end, begin, stop in SequenceMatcher(None, own, made, autojunk=False).get_opcodes():
            if kind == "equal":
                changed += kept[start:end]
            else:
                changed += [
                    f"{'# ' if comments and line[:1] == '%' else ''}{line}{newline}" for line in made[begin:stop]
                ]
        lines[first - 1 : first - 1 + len(own)] = changed
    result = "".join(lines)
    if not text.endswith("\n"):
        result = result.removesuffix("\n").removesuffix("\r")
    read_again = json.loads(to_notebook(result, path))["cells"]
    return result if [each["source"] for each in read_again] == [each["source"] for each in new] else None


def has_tasks(path: str | os.PathLike[str]) -> bool:
    """Return whether a file with the suffix of a text notebook has tasks; most such files are scripts or prose."""
    try:
        with Path(path).open("rb") as file:
            return _TASK.search(file.read(_READ)) is not None
    except OSError:
        return False


def newer_pair(content: bytes, path: Path) -> Pair | None:
    """Return the text notebook that is paired with an `.ipynb` file, if the text notebook is newer.

    Return None if the file is not paired, if the text has the same cells, or if jupytext is missing.
    """
    if not (b'"formats"' in content and b'"jupytext"' in content) and not _has_settings(path.absolute()):
        return None
    try:
        own = json.loads(content)
        saved = path.stat().st_mtime
        _jupytext("read")
        newer = [text for text in _paired_texts(own, path) if text.is_file() and text.stat().st_mtime > saved + _MARGIN]
        if not newer:
            return None
        latest = max(newer, key=lambda text: text.stat().st_mtime)
        converted = json.loads(to_notebook(latest.read_text(encoding="utf-8-sig"), latest))
        if _code(own) == _code(converted):
            return None
    except Exception:  # the pair is missing or broken, so the file that the user named is read
        return None
    for cell in converted["cells"]:
        cell["metadata"].pop("nbdag", None)  # messages name cells of the .ipynb file, not lines of the text
    return Pair(latest, (json.dumps(converted, indent=1, ensure_ascii=False) + "\n").encode())


def _has_settings(path: Path) -> bool:
    """Return whether a parent folder of this path has settings of jupytext, which may pair notebooks."""
    return any((folder / name).is_file() for folder in path.parents for name in _SETTINGS)


def _paired_texts(content: Mapping[str, Any], path: Path) -> Iterator[Path]:
    """Yield the text notebooks that the metadata or jupytext's settings pair with an `.ipynb` file."""
    from jupytext.config import load_jupytext_config, notebook_formats
    from jupytext.paired_paths import InconsistentPath, paired_paths

    name = str(path.absolute())
    formats = notebook_formats(content, load_jupytext_config(name), name)
    for form in formats:
        if form.get("extension") == ".ipynb":
            with contextlib.suppress(InconsistentPath):
                yield from (Path(other) for other, _ in paired_paths(name, form, formats) if is_text(other))
                return


def _code(content: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Return the type, source and tags of the cells: the parts of cells that jupytext writes into a text notebook."""
    return [
        ("".join(cell["source"]), (cell["cell_type"], cell.get("metadata", {}).get("tags", [])))
        for cell in content["cells"]
    ]


def _cell(cell: Mapping[str, Any], line: int | None) -> dict[str, Any]:
    metadata = _plain(cell["metadata"])
    if cell["cell_type"] != "code":
        return {"cell_type": cell["cell_type"], "source": cell["source"], "metadata": metadata}
    if line is not None:
        metadata["nbdag"] = {**metadata.get("nbdag", {}), TEXT_LINE: line}
    return {
        "cell_type": "code",
        "source": cell["source"],
        "metadata": metadata,
        "execution_count": None,
        "outputs": [],
    }


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    return dict(json.loads(json.dumps(value, default=str)))


def _first_lines(lines: Sequence[str], cells: Sequence[Mapping[str, Any]]) -> Iterator[int | None]:
    """Yield the line, from 1, at which each cell's source begins; None if the text lacks a line of the source."""
    at = 0
    for cell in cells:
        source = cell["source"].splitlines()
        found = None
        if any(line.strip() for line in source):
            starts = range(at, len(lines) - len(source) + 1)
            found = next((n for n in starts if all(map(_is_written, lines[n : n + len(source)], source))), None)
        if found is None:
            yield None
        else:
            at = found + len(source)
            yield found + 1


def _is_written(written: str, line: str) -> bool:
    """Return whether a line of the text is this line of a cell, perhaps commented out."""
    written, line = written.strip(), line.strip()
    return written == line or (written.startswith("#") and written[1:].strip() == line)


def _line(failure: BaseException) -> str:
    return " ".join(str(failure).split())[:300] or type(failure).__name__
