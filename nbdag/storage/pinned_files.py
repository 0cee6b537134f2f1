"""Pin files beside a notebook to a version of the notebook (`%dag --with lib/ sql/*.sql`).

`nbdag deploy` packs the files into one archive. The home and the storage keep the archive under the digest of its
content. The digest is recorded in the pinned notebook, so changed files lead to a new version. Each host unpacks the
archive once; `kernels.worker.working_folder` puts the files into the working folder of an attempt.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import secrets
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..core.options.option_types import nearest
from ..errors import NbdagError, error
from ..home import path_part
from ..writing import make_private_folder, write_atomically
from .folders import MAX_FILES, MAX_SIZE
from .remote import files_at

FOLDER = "files"  # folder of the home, and of the storage, that contains the archives
_CONTENT, _WHOLE = "content", "whole.json"


@error
class PinError(NbdagError):
    """A file that %dag --with names cannot be pinned."""

    exit_code = 2
    pattern: str
    why: str
    template = "%dag --with {pattern}: {why}"


@error
class PinnedFilesLostError(NbdagError):
    """The pinned files of a version have been removed."""

    path: Path
    template = "the files that are pinned with this version are missing at {path}; deploy or export the notebook again"


@dataclass(frozen=True, slots=True)
class PinnedFiles:
    """The files of a version on this host."""

    content: Path  # folder with the files, under the same relative paths as in the notebook's folder
    whole: frozenset[str]  # folders that are pinned as a whole, so that they contain no other files


def missing(folder: Path, patterns: Iterable[str]) -> Iterator[PinError]:
    """Yield an error for each pattern whose files cannot be pinned."""
    for pattern in patterns:
        try:
            _matches(folder, pattern)
        except PinError as failure:
            yield failure


def pack(folder: Path, patterns: Iterable[str]) -> tuple[str, bytes]:
    """Return the digest and the archive of the files that the patterns name. Raises `PinError`."""
    names: dict[str, None] = {}
    size = 0
    for pattern in patterns:
        found = _matches(folder, pattern)
        for path in found:
            names[path.relative_to(folder).as_posix()] = None
            size += path.stat().st_size if path.is_file() else 0
        if size > MAX_SIZE or len(names) > MAX_FILES:
            limits = f"{MAX_SIZE // 10**6} MB or {MAX_FILES} files"
            raise PinError(pattern, f"the pinned files exceed {limits}; name fewer files")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(names):
            path = folder / name
            info = tarfile.TarInfo(name)
            try:
                if path.is_dir():
                    info.type, info.mode = tarfile.DIRTYPE, 0o755
                    tar.addfile(info)
                    continue
                content = path.read_bytes()
            except OSError as failure:
                raise PinError(name, f"cannot be read ({(failure.strerror or str(failure)).lower()})") from failure
            # The archive contains no modification times, so that equal files have equal digests.
            info.size, info.mode = len(content), 0o755 if os.access(path, os.X_OK) else 0o644
            tar.addfile(info, io.BytesIO(content))
    archive = buffer.getvalue()
    return hashlib.sha256(archive).hexdigest()[:32], archive


def archive_path(files: Path, digest: str) -> Path:
    """Return the path of an archive; `files` is the folder of the home's files."""
    return files / FOLDER / f"{path_part(digest)}.tar"


def unpacked(files: Path, digest: str, url: str = "") -> PinnedFiles:
    """Return the pinned files of a version, after unpacking them on this host if needed.

    `url` is the storage from which a host gets the archive. Raises `PinnedFilesLostError` or `StorageError`.
    """
    target = files / FOLDER / path_part(digest)
    if not target.is_dir():
        archive = archive_path(files, digest)
        if url and not archive.exists():
            make_private_folder(archive.parent)
            with contextlib.suppress(FileNotFoundError):
                files_at(url).get(f"{FOLDER}/{archive.name}", archive)
        draft = archive.with_name(f".{secrets.token_hex(8)}.part")
        try:
            with tarfile.open(archive) as tar:
                make_private_folder(draft)
                tar.extractall(draft / _CONTENT, filter="data")
                whole = [each.name for each in tar.getmembers() if each.isdir()]
            (draft / _CONTENT).mkdir(exist_ok=True)
            write_atomically(draft / _WHOLE, json.dumps(whole).encode())
            with contextlib.suppress(OSError):  # another attempt has just unpacked the archive
                draft.rename(target)
        except FileNotFoundError:
            raise PinnedFilesLostError(archive) from None
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.utime(archive_path(files, digest))  # `nbdag gc` keeps files that were used recently
    return PinnedFiles(target / _CONTENT, frozenset(json.loads((target / _WHOLE).read_bytes())))


def _matches(folder: Path, pattern: str) -> list[Path]:
    """Return the files and folders that a pattern names; a folder includes everything in it except hidden files."""
    try:
        named = (
            sorted(path for path in folder.glob(pattern.rstrip("/")) if path.exists()) if pattern.strip("./") else []
        )
    except ValueError as failure:
        raise PinError(pattern, f"is not a pattern ({failure})") from None
    if not named:
        near = nearest(pattern.rstrip("/"), (path.name for path in _listed(folder)))
        advice = f"did you mean {near}?" if near else "correct the path, or remove it"
        raise PinError(pattern, f"no file of this name in {folder}; {advice}")
    found: list[Path] = []
    for path in named:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise PinError(pattern, f"{path} is a link to a place outside of {folder}; copy the file there")
        found += [path, *_walk(path, folder.resolve())] if path.is_dir() else [path]
        if len(found) > MAX_FILES:
            break
    return found


def _walk(root: Path, top: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(root):
        folders[:] = sorted(each for each in folders if not each.startswith(".") and each != "__pycache__")
        for name in (*folders, *sorted(names)):
            path = Path(place, name)
            inside = not path.is_symlink() or path.resolve().is_relative_to(top)
            if not name.startswith(".") and inside and (path.is_file() or path.is_dir()):
                yield path


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
