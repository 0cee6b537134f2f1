"""Files at an fsspec URL: reading, writing, listing and deleting them, with retries while the connection is lost.

A file is complete or absent: object stores show an object only after its last byte, and elsewhere a file is uploaded
under a temporary name and then renamed. An interrupted download continues where it stopped. Error messages contain
neither credentials nor passwords.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from ..core.options.option_types import nearest
from ..errors import NbdagError, error
from ..home import StoragePasswordError, without_secrets
from ..writing import create_private_file, make_private_folder

RETRY_TIMEOUT = 60.0  # seconds during which a failed operation is repeated
CHECK_TIMEOUT = 10.0  # seconds during which the check before a run is repeated
LONGEST_DELAY = 8.0  # maximum number of seconds between two tries
# Suffix of a small file beside a value. The modification time of the small file is the time of the value's last use,
# because the value's own time changes only by uploading the content again.
USED = ".used"
PART = 16 << 20  # number of bytes that one request downloads
# Protocols whose uploads are atomic: an object is visible only when it is complete.
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss", "memory"})
_USUAL = ("s3", "gs", "az", "abfs", "sftp", "ftp", "hdfs", "file")  # protocols that an error message suggests
_EXTRAS = {"s3": "nbdag[s3]", "s3a": "nbdag[s3]"}
# Errors after which an operation is not repeated. `_FINAL_NAMES` are errors of optional packages.
_FINAL = (
    FileNotFoundError,
    PermissionError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    NotImplementedError,
    ImportError,
    TypeError,
    ValueError,
)
_FINAL_NAMES = frozenset({"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "ParamValidationError"})
# Keys under which fsspec's listings contain the modification time; they differ between protocols.
_DATES = ("LastModified", "mtime", "updated", "last_modified", "timeModified", "created")
_T = TypeVar("_T")


@error
class StorageError(NbdagError):
    """The storage cannot be used."""

    url: str
    reason: str
    template = "cannot use the storage {shown} ({reason}); check the connection and the credentials of this host"

    @property
    def shown(self) -> str:
        """Return the URL without passwords."""
        return without_secrets(self.url)


@error
class UnwritableStorageError(StorageError):
    """Nothing can be written to the storage."""

    template = (
        "nbdag cannot write to the storage {shown} ({reason}); create the bucket or folder, make it writable, or check "
        "the credentials of this host"
    )


@error
class DiskFullError(NbdagError):
    """A file of the storage is larger than the free space of this host."""

    name: str
    size: int  # in bytes
    folder: str
    template = (
        "host {host} has no space in {folder} for {name} of the storage ({size:,} bytes); free some space "
        "there, or set NBDAG_CACHE on that host to a folder on a larger disk"
    )

    @property
    def host(self) -> str:
        """Return the name of this host."""
        return socket.gethostname()


@error
class MissingPackageError(NbdagError):
    """The package that fsspec needs for the URL is not installed."""

    exit_code = 2

    url: str
    reason: str
    template = "the storage {shown} needs a package that is not installed ({reason}){advice}"

    @property
    def shown(self) -> str:
        """Return the URL without passwords."""
        return without_secrets(self.url)

    @property
    def advice(self) -> str:
        """Return the command that installs the package, or "" if nbdag has no extra for it."""
        extra = _EXTRAS.get(self.url.partition("://")[0])
        return f"; python -m pip install '{extra}'" if extra else ""


@error
class UnknownProtocolError(NbdagError):
    """fsspec does not know the protocol of the URL."""

    exit_code = 2

    protocol: str
    url: str
    template = "unknown protocol {protocol!r} of the storage {shown}; {advice}"

    @property
    def shown(self) -> str:
        """Return the URL without passwords."""
        return without_secrets(self.url)

    @property
    def advice(self) -> str:
        """Return a hint that names protocols that nbdag supports."""
        near = nearest(self.protocol, _USUAL)
        return f"did you mean {near}?" if near else "expected one such as s3, gs, az or sftp"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the storage."""

    name: str  # path relative to the URL
    size: int  # in bytes
    modified: float  # time of the last upload, in seconds since the epoch


@lru_cache(maxsize=16)
def files_at(url: str) -> Remote:
    """Return the files at a URL. All callers in a process share one connection."""
    return Remote(url)


class Remote:
    """The files at a URL. Its methods may be called from several threads."""

    def __init__(self, url: str) -> None:
        if without_secrets(url) != url:
            raise StoragePasswordError(url)
        self.url = url.rstrip("/")
        self.protocol = self.url.partition("://")[0]
        self._lock = threading.RLock()
        self._fs: Any = None
        self._base = ""
        self._pid = 0

    def check(self) -> None:
        """Write and delete a small file. If this is impossible, raise `UnwritableStorageError` with the reason."""
        name = f"check-{secrets.token_hex(8)}"
        try:
            self._repeat(lambda fs: fs.pipe_file(self._path(name), b"nbdag"), CHECK_TIMEOUT)
            self.delete([name])
        except FileNotFoundError:
            raise UnwritableStorageError(self.url, "the bucket or folder does not exist") from None
        except StorageError as failure:
            raise UnwritableStorageError(self.url, failure.reason) from None

    def exists(self, name: str) -> bool:
        """Return whether a file is stored."""
        return self.stat(name) is not None

    def stat(self, name: str) -> StoredFile | None:
        """Return the size and time of a file, or None if it is not stored."""
        try:
            about = self._repeat(lambda fs: fs.info(self._path(name)))
        except FileNotFoundError:
            return None
        return self._file(about) if about["type"] == "file" else None

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """Return the bytes of a file from `start` up to `end` (None: all). Raises FileNotFoundError."""
        found: bytes = self._repeat(lambda fs: fs.cat_file(self._path(name), start=start, end=end))
        return found

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
        self._upload(name, lambda fs, path: fs.pipe_file(path, content))

    def get(self, name: str, to: Path) -> None:
        """Download a file. Raises FileNotFoundError or `DiskFullError`.

        The local file is complete or absent. Several processes of a host may download the same file at once.
        """
        found = self.stat(name)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "not in the storage", name)
        make_private_folder(to.parent)
        draft = to.with_name(f".{secrets.token_hex(8)}.part")
        try:
            create_private_file(draft)
            with draft.open("r+b") as file:
                if hasattr(os, "posix_fallocate") and found.size:
                    os.posix_fallocate(file.fileno(), 0, found.size)  # fails at once if the disk is full
                for start in range(0, found.size, PART):
                    file.write(self.read(name, start, min(found.size, start + PART)))
                file.truncate()  # the file may have become shorter since its size was read
            draft.replace(to)
        except BaseException as failure:
            with contextlib.suppress(OSError):
                draft.unlink()
            if isinstance(failure, OSError) and failure.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFullError(to.name, found.size, str(to.parent)) from None
            raise

    def put(self, path: Path, name: str) -> None:
        """Upload a file. A large file is sent in parts, each of which is repeated if it fails."""
        self._upload(name, lambda fs, to: fs.put_file(str(path), to))

    def files(self, prefix: str) -> Iterator[StoredFile]:
        """Yield all files in a folder and its subfolders."""
        try:
            found = self._repeat(lambda fs: fs.find(self._path(prefix), detail=True))
        except FileNotFoundError:
            return
        for about in found.values():
            if about["type"] == "file":
                yield self._file(about)

    def delete(self, names: Iterable[str]) -> None:
        """Delete files; ignore missing files."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                self._repeat(lambda fs, name=name: fs.rm_file(self._path(name)))  # type: ignore[misc]

    # -- one operation --------------------------------------------------------------------------------------------

    def _upload(self, name: str, send: Callable[[Any, str], None]) -> None:
        path = self._path(name)

        def upload(fs: Any) -> None:
            if self.protocol in _OBJECT_STORES:
                send(fs, path)
                return
            draft = f"{path}.{secrets.token_hex(4)}.part"
            fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            try:
                send(fs, draft)
                fs.mv(draft, path)
            except BaseException:
                with contextlib.suppress(Exception):
                    fs.rm_file(draft)
                raise

        self._repeat(upload)

    def _repeat(self, operation: Callable[[Any], _T], timeout: float | None = None) -> _T:
        """Return the result of an operation, which is repeated for `timeout` seconds while the connection is lost.

        Raises FileNotFoundError, OSError if the disk of this host is full, or `StorageError`, whose message contains
        no secret.
        """
        until = time.monotonic() + (RETRY_TIMEOUT if timeout is None else timeout)
        delay = 0.25
        while True:
            try:
                fs = self._connected()
                if fs.async_impl:
                    return operation(fs)
                with self._lock:  # without `async_impl`, a client does not support several threads
                    return operation(fs)
            except NbdagError:
                raise
            except Exception as failure:
                if isinstance(failure, FileNotFoundError) or _of_this_host(failure):
                    raise
                left = until - time.monotonic()
                if _is_final(failure) or left <= 0:
                    raise StorageError(self.url, _without_known_secrets(_describe(failure))) from None
            # The delay is random, so that many hosts do not try again at the same moment.
            time.sleep(min(left, delay * random.uniform(0.5, 1.0)))
            delay = min(2 * delay, LONGEST_DELAY)

    def _connected(self) -> Any:
        with self._lock:
            if self._fs is None or self._pid != os.getpid():
                self._fs, self._base = _file_system(self.url)
                self._pid = os.getpid()
            return self._fs

    def _path(self, name: str) -> str:
        self._connected()
        return f"{self._base}/{name}" if name else self._base

    def _file(self, about: Mapping[str, Any]) -> StoredFile:
        name = str(about["name"]).removeprefix(f"{self._base}/")
        return StoredFile(name, int(about["size"] or 0), _modified(about))


def _file_system(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the path of the URL in it."""
    import fsspec

    options: dict[str, Any] = {"use_listings_cache": False}
    protocol = url.partition("://")[0]
    known = {*fsspec.available_protocols(), *fsspec.registry}
    for each in protocol.split("::"):  # simplecache::s3://bucket has two protocols
        if each not in known:
            raise UnknownProtocolError(each, url)
    if protocol in ("s3", "s3a"):
        # botocore's own retries are off. s3fs still repeats each part of a large upload, for up to half a minute.
        options["config_kwargs"] = {"connect_timeout": 5, "retries": {"total_max_attempts": 1}}
    if hasattr(fsspec.config, "conf"):
        options |= {name: value for name, value in fsspec.config.conf.get(protocol, {}).items() if name in options}
    try:
        fs, base = fsspec.core.url_to_fs(url, **options)
    except (ImportError, ValueError) as failure:
        raise MissingPackageError(url, " ".join(str(failure).split())) from None
    return fs, str(base).rstrip("/")


def _is_final(failure: Exception) -> bool:
    return isinstance(failure, _FINAL) or type(failure).__name__ in _FINAL_NAMES


def _of_this_host(failure: Exception) -> bool:
    """Return whether an error comes from this host's disk, which is full or read-only."""
    return isinstance(failure, OSError) and failure.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def _describe(failure: Exception) -> str:
    text = failure.strerror if isinstance(failure, OSError) and failure.strerror else str(failure)
    return " ".join(text.split())[:300] or type(failure).__name__


def _without_known_secrets(text: str) -> str:
    for name, value in os.environ.items():
        if value and len(value) > 3 and any(word in name for word in ("KEY", "SECRET", "TOKEN", "PASSWORD")):
            text = text.replace(value, "***")
    return without_secrets(text)


def _modified(about: Mapping[str, Any]) -> float:
    for name in _DATES:
        found = about.get(name)
        if isinstance(found, datetime):
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        if isinstance(found, int | float):
            return float(found)
        if isinstance(found, str):
            with contextlib.suppress(ValueError):
                return datetime.fromisoformat(found).timestamp()
    return time.time()  # the time is unknown, so the file counts as new and is kept
