"""The owners of a storage: the databases and programs whose files are in it.

A database knows only its own runs. So `nbdag gc` must not delete files from a storage that has another owner. Each
owner writes a small file `owners/ID` into the storage before its first other file. The content describes the owner.
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

ATTEMPTS = "attempts"  # id of all attempts that another program plans, such as Airflow; no database knows them
_FOLDER = "owners"


@lru_cache(maxsize=16)
def record_owner(home: Home, owner: str = "") -> None:
    """Write the marker of an owner (default: this home's database) into the storage of a home.

    A home without a storage needs no marker of its own database. Raises `StorageError` or `HomeError`.
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


def other_owners(home: Home) -> list[str]:
    """Return descriptions of all owners of the storage except this home's database. Raises `StorageError`."""
    own = "" if home.storage is None else _own_id(home)
    if home.remote is not None:
        remote = files_at(home.remote)
        names = [each.name for each in remote.files(_FOLDER)]
        return sorted(remote.read(name).decode() for name in names if name.rpartition("/")[2] != own)
    markers = [path for path in (home.files / _FOLDER).glob("[!.]*") if path.name != own]
    found = sorted(path.read_text() for path in markers)
    # The storage may be the home of another project, which has no marker there.
    other = home.files / home.database.name
    return [*found, f"database {other}"] if home.files != home.root and other.exists() else found


def _own_id(home: Home) -> str:
    """Return the id of a home's database, which is the same on all hosts that use a database server."""
    if home.url is not None:
        return home.database_id
    path = home.root / "id"
    if not path.exists():
        home.make()
        try:
            _write_once(path, secrets.token_hex(8))
        except OSError as why:
            raise HomeError(home.root, why) from why
    return path.read_text()


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
