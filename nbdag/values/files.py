"""Storage of bytes by digest, in a folder or at any URL that fsspec can write.

A file contains a header with the sizes of its parts, a pickle, and the pickle's buffers, each on a 64-byte boundary. A
file is written under a temporary name and then renamed, so it is either complete or absent. Files are not synced to
disk: after a power cut, one may be missing, truncated or filled with zeros. So before a process first reads a file, it
checks the content against the digest. It makes the same check if a value that it writes is already stored, and replaces
a damaged file. xxh3 reads about 10 GB/s, so the check takes little time compared with reading the value.

A local file is read through a private memory map. Arrays are not copied on loading; a process that changes an array
changes private copies of the memory pages. `Region` detects the pages that are unchanged.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import xxhash

from ..errors import NbdagError, error
from ..storage.remote import PART, files_at
from ..writing import make_private_folder, only_one, write_atomically
from .memory import address_of, written_to

ALIGNMENT = 64  # buffers begin at multiples of this number of bytes, which numpy and Arrow prefer
_MAGIC = b"nbdag-value-2\n"
_MAGIC_1 = b"nbdag-value-1\n"  # header of the first file format, whose digest does not cover the sizes of the parts
_LENGTH = struct.Struct("<Q")
_FIXED = len(_MAGIC) + _LENGTH.size  # size in bytes of the part before the header
_HEAD = 4096  # number of bytes that are read first for a value's description
_DIGEST = re.compile(r"[0-9a-f]{32}")


@error
class StoreWriteError(NbdagError):
    """The value store cannot be written."""

    root: str
    why: OSError
    template = "a value cannot be written to {root} ({reason}): free some space there, or make it writable"

    @property
    def reason(self) -> str:
        """Return the operating system's message in lower case."""
        return (self.why.strerror or str(self.why)).lower()


@error
class LostValueError(NbdagError):
    """A stored value is missing or damaged."""

    digest: str
    root: str
    why: str  # what is wrong, as a predicate such as "is missing"
    template = "the stored value {digest:.12}… {why} in {root}: clear the task that wrote it, to run the task again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The content of a file: its description, the pickle and the buffers, all views of one memory map."""

    about: Mapping[str, Any]
    pickle: memoryview
    buffers: tuple[memoryview, ...]
    region: Region
    version: int = 2  # version of the file's format


class Region:
    """The memory of a loaded value."""

    def __init__(self, memory: mmap.mmap, source: Path | None) -> None:
        self._memory = memory
        self._source = source
        self._spans: dict[int, tuple[int, int]] = {}  # key: address of a buffer; value: (offset in the file, length)

    def add_buffer(self, buffer: memoryview, offset: int) -> None:
        """Record a buffer and its offset in the file."""
        self._spans[address_of(buffer)] = (offset, buffer.nbytes)

    def unchanged_span(self, buffer: memoryview) -> tuple[int, int] | None:
        """Return the (offset, length) of this buffer in the file.

        Return None if the buffer's memory may have changed since it was mapped, or is outside of this region.
        """
        if self._source is None:
            return None
        address, length = address_of(buffer), buffer.nbytes
        for start, (offset, size) in self._spans.items():
            if start <= address and address + length <= start + size:
                begin = offset + address - start
                if not written_to(address, length) or self._equal(begin, buffer):
                    return begin, length
        return None

    def _equal(self, offset: int, buffer: memoryview) -> bool:
        assert self._source is not None
        try:
            with self._source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stored:
                view = memoryview(stored)
                part = view[offset : offset + buffer.nbytes]
                try:
                    return xxhash.xxh3_128_digest(part) == xxhash.xxh3_128_digest(buffer)
                finally:
                    part.release()
                    view.release()
        except (OSError, ValueError):  # another process has removed the file
            return False


class Files(Protocol):
    """A place that stores contents by digest."""

    def write(self, about: Mapping[str, Any], parts: Sequence[bytes | memoryview]) -> str:
        """Store a pickle and its buffers; return their digest."""

    def read(self, digest: str) -> Content:
        """Return a stored content. Raises `LostValueError`."""

    def about(self, digest: str) -> Mapping[str, Any]:
        """Return the description of a stored content without reading the whole file. Raises `LostValueError`."""

    def touch_if_stored(self, digest: str) -> bool:
        """Return whether a content is still stored; if so, mark the content as recently used."""

    def digests(self) -> Iterator[str]:
        """Yield the digests of all stored contents."""


def files(root: str, origin: str = "") -> Files:
    """Return the store at a path or an fsspec URL. `LocalFiles` explains `origin`."""
    scheme, _, rest = root.partition("://")
    if not rest:
        return LocalFiles(Path(root), origin)
    return LocalFiles(Path(rest), origin) if scheme in ("file", "local") else RemoteFiles(root)


def digest_of(about: Mapping[str, Any], parts: Sequence[bytes | memoryview]) -> str:
    """Return the digest of a content: its description, the sizes of its parts, and the parts.

    The hash is xxh3 and not SHA: xxh3 is as fast as reading memory, and the project's own store needs no protection
    against forged collisions.
    """
    sizes = [memoryview(part).nbytes for part in parts]
    return _digest(json.dumps([about, sizes], sort_keys=True), parts)


def _digest(head: str, parts: Iterable[bytes | memoryview]) -> str:
    state = xxhash.xxh3_128(head.encode())
    for part in parts:
        state.update(part)
    return state.hexdigest()


_verified: set[tuple[str, int, int, int]] = set()  # files that this process has compared with their digests
_damaged: set[tuple[str, str]] = set()  # URL of the store and digest of each damaged file that this process has read


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """A store in a local folder. The file with the digest `abcdef…` has the path `ab/abcdef…` in this folder.

    With an `origin`, the folder contains copies of files from that store. A missing or damaged file is downloaded when
    it is read.
    """

    root: Path
    origin: str = ""  # URL of a store, or ""

    def write(self, about: Mapping[str, Any], parts: Sequence[bytes | memoryview]) -> str:
        digest = digest_of(about, parts)
        path = self._path(digest)
        try:
            # Marked as recently used, so that `nbdag gc` keeps the file.
            if self._path(digest).exists() and self._is_whole(digest) and self.touch_if_stored(digest):
                return digest
            make_private_folder(path.parent)
            write_atomically(path, *_pieces(about, parts))
            _verified.add(_identity(path))
        except OSError as why:
            raise StoreWriteError(str(self.root), why) from why
        return digest

    def read(self, digest: str) -> Content:
        try:
            return self._read(digest)
        except LostValueError:
            if not self.origin:
                raise
        self.download(digest)
        return self._read(digest)

    def _read(self, digest: str) -> Content:
        content, identity = self._open(digest)
        if identity not in _verified:
            _verify(content, digest, str(self.root))
            _verified.add(identity)
        return content

    def download(self, digest: str) -> None:
        """Copy a file from the origin. If another process of this host is copying the file, wait for that copy.

        Raises `LostValueError` if the origin does not have the file.
        """
        locks = self.root.parent / "locks"
        make_private_folder(locks)
        with only_one(locks / digest[:2]):
            if self._is_whole(digest):
                return
            try:
                files_at(self.origin).get(name_of(digest), self._path(digest))
            except FileNotFoundError:
                raise LostValueError(digest, self.origin, "is missing") from None

    def about(self, digest: str) -> Mapping[str, Any]:
        try:
            return self._open(digest)[0].about
        except LostValueError:
            if not self.origin:
                raise
        return self.read(digest).about

    def touch_if_stored(self, digest: str) -> bool:
        path = self._path(digest)
        try:
            known = _identity(path) in _verified
            os.utime(path)
            if known:  # `utime` has changed the file's time, which is part of its identity
                _verified.add(_identity(path))
        except OSError:
            return False
        return True

    def digests(self) -> Iterator[str]:
        return (path.name for path in self.root.glob("*/*") if _DIGEST.fullmatch(path.name))

    def _open(self, digest: str) -> tuple[Content, tuple[str, int, int, int]]:
        path = self._path(digest)
        try:
            with path.open("rb") as file:
                memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
                identity = _identity(file.fileno(), path)
        except FileNotFoundError:
            raise LostValueError(digest, str(self.root), "is missing") from None
        except (OSError, ValueError) as why:  # mmap raises ValueError for an empty file
            raise LostValueError(digest, str(self.root), f"cannot be read ({why})") from why
        return _parse(memory, digest, str(self.root), path), identity

    def _is_whole(self, digest: str) -> bool:
        try:
            self._read(digest)
        except LostValueError:
            return False
        return True

    def _path(self, digest: str) -> Path:
        return self.root / name_of(digest)


def _identity(file: int | Path, path: Path | None = None) -> tuple[str, int, int, int]:
    """Return inode, size and time of a file, which change if the file is replaced or written to."""
    found = os.fstat(file) if isinstance(file, int) else file.stat()
    return str(path or file), found.st_ino, found.st_size, found.st_mtime_ns


class RemoteFiles:
    """A store at an fsspec URL, such as the URL of a bucket. A value is read into memory, not mapped."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._remote = files_at(root)

    def write(self, about: Mapping[str, Any], parts: Sequence[bytes | memoryview]) -> str:
        digest = digest_of(about, parts)
        name = name_of(digest)
        pieces = list(_pieces(about, parts))
        found = self._remote.stat(name)
        # Only the size is compared, because comparing the content would require a download.
        if found is None or found.size != sum(map(len, pieces)) or (self.root, digest) in _damaged:
            self._remote.write(name, b"".join(pieces))
            _damaged.discard((self.root, digest))
        return digest

    def read(self, digest: str) -> Content:
        try:
            memory = self._memory(digest)
        except FileNotFoundError:
            raise LostValueError(digest, self.root, "is missing") from None
        try:
            content = _parse(memory, digest, self.root, None)
            _verify(content, digest, self.root)
        except LostValueError:
            _damaged.add((self.root, digest))  # `write` then replaces the file
            raise
        return content

    def about(self, digest: str) -> Mapping[str, Any]:
        try:
            start = self._remote.read(name_of(digest), 0, _HEAD)
            length = _header_length(start)
            if length > len(start):
                start = self._remote.read(name_of(digest), 0, length)
            found: Mapping[str, Any] = json.loads(start[_FIXED:length])["about"]
        except FileNotFoundError:
            raise LostValueError(digest, self.root, "is missing") from None
        except (ValueError, struct.error, KeyError, TypeError):
            raise LostValueError(digest, self.root, "is damaged") from None
        return found

    def touch_if_stored(self, digest: str) -> bool:
        return self._remote.exists(name_of(digest))

    def digests(self) -> Iterator[str]:
        names = (each.name.rpartition("/")[2] for each in self._remote.files(""))
        return (name for name in names if _DIGEST.fullmatch(name))

    def _memory(self, digest: str) -> mmap.mmap:
        name = name_of(digest)
        found = self._remote.stat(name)
        if found is None:
            raise FileNotFoundError
        if not found.size:
            raise LostValueError(digest, self.root, "is damaged")
        memory = mmap.mmap(-1, found.size)
        for start in range(0, found.size, PART):
            end = min(start + PART, found.size)
            memory[start:end] = self._remote.read(name, start, end)
        return memory


def name_of(digest: str) -> str:
    """Return the name of a value's file in a store."""
    return f"{_checked(digest)[:2]}/{digest}"


def _header_length(start: bytes) -> int:
    """Return the size of a file's header, from the first bytes of the file."""
    if start[: len(_MAGIC)] not in (_MAGIC, _MAGIC_1):
        raise ValueError("not a stored value")
    (length,) = _LENGTH.unpack(start[len(_MAGIC) : _FIXED])
    return _FIXED + int(length)


def _verify(content: Content, digest: str, root: str) -> None:
    """Compare a content with its digest. Raises `LostValueError`."""
    parts = [content.pickle, *content.buffers]
    found = (
        _digest(json.dumps(content.about, sort_keys=True), parts)
        if content.version == 1
        else digest_of(content.about, parts)
    )
    if found != digest:
        raise LostValueError(digest, root, "is damaged")


def _checked(digest: str) -> str:
    if not _DIGEST.fullmatch(digest):  # the digest becomes part of a path, so it may only contain hex digits
        raise ValueError(f"not a digest: {digest[:40]!r}")
    return digest


def _pieces(about: Mapping[str, Any], parts: Sequence[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    sizes = [len(part) for part in parts]
    header = json.dumps({"about": about, "sizes": sizes}).encode()
    head = _MAGIC + _LENGTH.pack(len(header)) + header
    yield head
    at = len(head)
    for part in parts:
        if gap := -at % ALIGNMENT:
            yield bytes(gap)
        yield part
        at += gap + len(part)


def _parse(memory: mmap.mmap, digest: str, root: str, source: Path | None) -> Content:
    view = memoryview(memory)
    start = len(_MAGIC) + _LENGTH.size
    try:
        magic = bytes(view[: len(_MAGIC)])
        if magic not in (_MAGIC, _MAGIC_1):
            raise ValueError
        (length,) = _LENGTH.unpack(view[len(_MAGIC) : start])
        header = json.loads(bytes(view[start : start + length]))
        at = start + length
        region = Region(memory, source)
        found: list[memoryview] = []
        for size in header["sizes"]:
            at += -at % ALIGNMENT
            if at + size > len(view):
                raise ValueError
            part = view[at : at + size]
            if found and size:
                region.add_buffer(part, at)
            found.append(part)
            at += size
        about = header["about"]
        pickle, *buffers = found
    except (ValueError, struct.error, KeyError, TypeError):
        raise LostValueError(digest, root, "is damaged") from None
    version = 1 if magic == _MAGIC_1 else 2
    return Content(about=about, pickle=pickle, buffers=tuple(buffers), region=region, version=version)
