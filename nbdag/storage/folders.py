"""Copy a notebook's folder, with its modules and data, to hosts that lack it.

A folder is packed into one archive, which the storage keeps under the digest of its content. A host unpacks the archive
once per run, so that a run does not see files that other runs have written. Hidden files are not copied, because they
may contain credentials (`.env`). Python environments, caches, and links that lead out of the folder are not copied,
either.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import socket
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import NbdagError, error
from ..writing import make_private_folder
from .host_cache import cache_root
from .remote import files_at

MAX_SIZE = 200 * 10**6  # maximum size in bytes of all files of a folder
MAX_FILES = 20_000
TOO_LARGE = "too large"  # used in place of the digest if a folder exceeds these limits
KEPT = 7 * 86_400.0  # seconds for which unpacked folders and archives are kept
_EXCLUDED = frozenset({"__pycache__", "node_modules"})


@error
class FolderMissingError(NbdagError):
    """A host lacks the notebook's folder, and the folder could not be copied to the host."""

    folder: str
    host: str
    why: str
    template = "host {host} does not have the notebook's folder {folder}, and {why}"


def pack(folder: Path, url: str) -> str:
    """Copy a folder to the storage and return the digest of its content, or TOO_LARGE.

    Raises `StorageError`.
    """
    found = _content(folder)
    if found is None:
        return TOO_LARGE
    with tempfile.TemporaryDirectory(prefix="nbdag-") as place:
        archive = Path(place) / "folder.tar"
        with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
            for path in found:
                tar.add(path, path.relative_to(folder).as_posix(), recursive=False, filter=_portable(folder, path))
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:32]
        store, name = files_at(url), _name(digest)
        stored = store.stat(name)
        if stored is None or time.time() - stored.modified > KEPT / 2:
            store.put(archive, name)
    return digest


def unpack(folder: str, digest: str, run: tuple[str, str], url: str) -> Path:
    """Return this host's copy of a folder, which the attempts of a run share. Raises `FolderMissingError`."""
    host = socket.gethostname()
    if digest == TOO_LARGE:
        limits = f"{MAX_SIZE // 10**6} MB or {MAX_FILES} files"
        raise FolderMissingError(folder, host, f"it exceeds {limits}, so it was not copied; copy it to the host")
    if not digest:
        raise FolderMissingError(folder, host, "it was not copied; copy it to the host")
    work = cache_root(url) / "folders"
    target = work.joinpath(*run, digest, Path(folder).name or "folder")
    if not target.is_dir():
        _delete_old(work)
        draft = work / f".{secrets.token_hex(8)}.part"
        make_private_folder(draft)
        try:
            archive = draft / "folder.tar"
            try:
                files_at(url).get(_name(digest), archive)
            except FileNotFoundError:
                raise FolderMissingError(folder, host, "its copy was deleted; run the notebook again") from None
            make_private_folder(draft / "content")
            with tarfile.open(archive) as tar:
                tar.extractall(draft / "content", filter="data")
            make_private_folder(target.parent)
            (draft / "content").rename(target)
        except OSError:
            if not target.is_dir():  # if it exists, another attempt of the run has just unpacked the folder
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return target


def _content(folder: Path) -> list[Path] | None:
    """Return the files and folders to copy, sorted; None if they exceed the limits."""
    found: list[Path] = []
    size = 0
    for path in _walk(folder):
        found.append(path)
        size += path.lstat().st_size
        if size > MAX_SIZE or len(found) > MAX_FILES:
            return None
    return sorted(found)


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(each for each in folders if _is_copied(each) and not (here / each / "pyvenv.cfg").exists())
        for name in (*folders, *files):
            path = here / name
            inside = not path.is_symlink() or path.resolve().is_relative_to(folder.resolve())
            if _is_copied(name) and inside and (path.is_file() or path.is_dir()):
                yield path


def _is_copied(name: str) -> bool:
    return not name.startswith(".") and name not in _EXCLUDED


def _portable(folder: Path, path: Path) -> Callable[[tarfile.TarInfo], tarfile.TarInfo]:
    """Return a filter for `tarfile` that makes the entry of a path independent of this host."""

    def changed(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        info.mtime = int(info.mtime)
        if info.issym() and Path(info.linkname).is_absolute():
            target = os.path.relpath(path.resolve(), folder.resolve() / path.parent.relative_to(folder))
            info.linkname = Path(target).as_posix()
        return info

    return changed


def _delete_old(work: Path) -> None:
    for run in work.glob("*/*"):
        try:
            if time.time() - run.stat().st_mtime > KEPT:
                shutil.rmtree(run, ignore_errors=True)
        except OSError:
            continue


def _name(digest: str) -> str:
    return f"folders/{digest}.tar"
