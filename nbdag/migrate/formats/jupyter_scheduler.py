"""The database of jupyter-scheduler (`scheduler.sqlite`): each job definition becomes a notebook with a schedule.

The notebook is read from the staging folder beside the database. jupyter-scheduler stores values of parameters as code;
this code is written into the parameters cell.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from .imported import Imported, ImportedNotebook, ImportSourceError, task_name
from .scheduled import local_zone, scheduled_notebook

_MAGIC = b"SQLite format 3\x00"
_TABLE = "job_definitions"
_STAGING = "scheduler_staging_area"
_OUTPUT_NAME = "{{input_filename}}-{{create_time}}"  # jupyter-scheduler's default
# Columns without an equivalent, each with the reason.
_LEFT = {
    "email_notifications": "--on-failure and --on-success of %dag notify people",
    "compute_type": "tasks run on this machine",
    "runtime_environment_parameters": "tasks run in the environment of the notebook's kernel",
    "packaged_files": "they are beside the copy of the notebook; tasks read files from the notebook's folder",
}


def detect(path: Path) -> bool:
    """Return whether this is an SQLite database with job definitions."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            return False
    try:
        return bool(_rows(path, f"SELECT 1 FROM sqlite_master WHERE name = '{_TABLE}'"))
    except ImportSourceError:
        return False


def read(path: Path) -> Imported:
    """Return a notebook for each job definition."""
    rows = _rows(path, f"SELECT * FROM {_TABLE} ORDER BY create_time, name")
    if not rows:
        hint = "only jobs with a schedule are definitions; run the notebook of another job with nbdag run"
        raise ImportSourceError(str(path), "has no job definitions", hint)
    found = Imported()
    taken: set[str] = set()
    for row in rows:
        try:
            name = task_name(str(row.get("name") or Path(row["input_filename"]).stem), taken)
            _add(path, row, name, found)
        except (LookupError, TypeError, ValueError, AttributeError):
            what = str(row.get("name") or row.get("job_definition_id"))
            found.leave(path.name, f"definition {what}", "a column is missing or has an unknown form")
            continue
        taken.add(name)
    return found


def _add(path: Path, row: Mapping[str, Any], name: str, found: Imported) -> None:
    place = f"{path.name}, definition {row.get('name') or row['job_definition_id']}"
    folder = path.parent / _STAGING / str(row["job_definition_id"])
    file = folder / str(row["input_filename"])
    if not file.is_file():
        found.leave(place, f"the notebook {row['input_filename']}", f"its copy {file} does not exist")
        return
    options = _options(row, name, place, found)
    values = {str(key): str(value) for key, value in (_json(row.get("parameters")) or {}).items()}
    try:
        content = scheduled_notebook(file, str(row["input_filename"]), name, options, values, found)
    except ImportSourceError as failure:
        found.leave(place, f"the notebook {row['input_filename']}", failure.reason)
        return
    found.notebooks.append(ImportedNotebook(name=f"{name}.ipynb", folder=folder, content=content))


def _options(row: Mapping[str, Any], name: str, place: str, found: Imported) -> dict[str, Any]:
    """Return the options of %dag."""
    options: dict[str, Any] = {"schedule": row.get("schedule"), "tags": tuple(_json(row.get("tags")) or ())}
    if row.get("schedule"):
        zone = row.get("timezone") or local_zone()
        if zone is None:
            found.leave(place, "the time zone", "the time zone of this machine is unknown; add --tz to %dag")
        elif zone != "UTC":
            options["tz"] = zone
    defaults: dict[str, Any] = {"retries": row.get("max_retries") or 0}
    if row.get("min_retry_interval_millis"):
        defaults["retry_delay"] = row["min_retry_interval_millis"] / 1000
    options["defaults"] = {key: value for key, value in defaults.items() if value}
    if row.get("active") == 0:
        found.leave(place, "the pause", f"after nbdag deploy, pause it with: nbdag pause {name}")
    for column, reason in _LEFT.items():
        value = _json(row.get(column)) if column != "compute_type" else row.get(column)
        if value:
            found.leave(place, f"{column} {value}", reason)
    formats = [each for each in _json(row.get("output_formats")) or () if each != "ipynb"]
    if formats:
        found.leave(place, f"output formats {', '.join(formats)}", "nbdag report writes a run as HTML")
    template = row.get("output_filename_template")
    if template not in (None, "", _OUTPUT_NAME):
        found.leave(place, f"output file name {template}", "reports of runs are in the folder of nbdag")
    return options


def _rows(path: Path, query: str) -> list[dict[str, Any]]:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]
    except sqlite3.Error as failure:
        locked = "locked" in str(failure) or "busy" in str(failure)
        hint = "stop Jupyter and try again" if locked else "choose scheduler.sqlite of jupyter-scheduler"
        raise ImportSourceError(str(path), f"cannot be read ({failure})", hint) from None


def _json(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return None
