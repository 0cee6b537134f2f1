"""The owners of a storage, and the ids of the folders and URLs with the files of runs.

A database knows only its own runs. So `nbdag gc` must not delete files from a storage that has other owners, too. Each
owner (a database or a program) writes a small file `owners/ID`, which describes the owner, into the storage before it
writes any other file.

Hosts that share a database may have different folders. So each run records the id of the folder with its files, and
only hosts with this folder execute the run.
"""

from __future__ import annotations

import os
import secrets
import socket
from functools import lru_cache
from pathlib import Path

from ..home import Home, HomeError, path_part
from ..writing import make_private_folder, write_atomically
from .remote import files_at

ATTEMPTS = "attempts"  # owner of attempts that another program, such as Airflow, starts; no database has them
_FOLDER = "owners"


@lru_cache(maxsize=16)
def record_owner(home: Home, owner: str = "") -> None:
    """Write the file of an owner (default: this home's database) into the storage of a home.

    A home without a storage needs no file for its own database. Raises `StorageError` or `HomeError`.
    """
    if not owner and home.storage is None:
        return
    name = f"{_FOLDER}/{path_part(owner or _own_id(home))}"
    text = "nbdag attempt, perhaps called by Airflow" if owner else f"{socket.gethostname()}:{home.root}"
    if home.remote is None:
        if not (home.files / name).exists():
            home.write(home.files / name, text.encode())
    elif not files_at(home.remote).exists(name):
        files_at(home.remote).write(name, text.encode())


def files_id(home: Home) -> str | None:
    """Return the id of the folder or URL with a home's files. All hosts that share the folder or URL get the same id.

    Return None for an SQLite database, because all processes that use it have the same home. Raises `HomeError`.
    """
    if home.url is None:
        return None
    return home.remote or _id_in(home, home.files)


def has_files(home: Home, files: str | None) -> bool:
    """Return whether a home has the files of a run. `files` is the result of `files_id` when the run was created."""
    return files is None or files == files_id(home)


def other_owners(home: Home) -> list[str]:
    """Return descriptions of all owners of the storage except this home's database. Raises `StorageError`."""
    own = "" if home.storage is None else _own_id(home)
    if home.remote is not None:
        remote = files_at(home.remote)
        names = [each.name for each in remote.files(_FOLDER)]
        return sorted(remote.read(name).decode() for name in names if name.rpartition("/")[2] != own)
    markers = [path for path in (home.files / _FOLDER).glob("[!.]*") if path.name != own]
    found = sorted(path.read_text() for path in markers)
    # The storage may be the home of another project; such a home contains no file for its own database.
    other = home.files / home.database.name
    return [*found, f"database {other}"] if home.files != home.root and other.exists() else found


def _own_id(home: Home) -> str:
    """Return the id of a home's database, which is the same on all hosts that use a database server."""
    if home.url is not None:
        return home.database_id
    return _id_in(home, home.root)


def _id_in(home: Home, folder: Path) -> str:
    """Return the random id of a folder of this home. The id is written when it is first needed."""
    path = folder / "id"
    try:
        if not path.exists():
            home.make()
            _write_once(path, secrets.token_hex(8))
        return path.read_text()
    except OSError as why:
        raise HomeError(folder, why) from why


def _write_once(path: Path, text: str) -> None:
    """Write a file, unless another process writes it first."""
    draft = path.with_name(f".{secrets.token_hex(8)}.id")
    make_private_folder(path.parent)
    write_atomically(draft, text.encode())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
