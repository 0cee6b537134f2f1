"""Addresses of buffers, and detection of writes to a memory-mapped file.

Linux records whether a page of a private file map is still a page of the file or a private copy. With this record,
nbdag can tell without reading an array of gigabytes that the array is unchanged. On other systems every page counts as
written to.
"""

from __future__ import annotations

import array
import ctypes
import mmap
import sys
from pathlib import Path

_ENTRY = 8  # size in bytes of the entry for one page in /proc/self/pagemap
_OF_FILE = 1 << 61
_PRESENT = 1 << 63
_SWAPPED = 1 << 62
_PAGES_AT_ONCE = 1 << 16


class _PyBuffer(ctypes.Structure):
    """CPython's Py_buffer."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


def address_of(buffer: memoryview) -> int:
    """Return the address of a buffer's first byte."""
    info = _PyBuffer()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(buffer), ctypes.byref(info), 0)
    try:
        return int(info.buf or 0)
    finally:
        ctypes.pythonapi.PyBuffer_Release(ctypes.byref(info))


def written_to(address: int, length: int) -> bool:
    """Return whether this part of a private file map may have been written to; True if that is unknown."""
    if not sys.platform.startswith("linux"):
        return True
    first = address // mmap.PAGESIZE
    last = (address + length - 1) // mmap.PAGESIZE
    try:
        with Path("/proc/self/pagemap").open("rb", buffering=0) as pages:
            for start in range(first, last + 1, _PAGES_AT_ONCE):
                count = min(_PAGES_AT_ONCE, last + 1 - start)
                pages.seek(start * _ENTRY)
                data = pages.read(count * _ENTRY)
                if len(data) < count * _ENTRY:
                    return True
                # A set, because most entries are equal: pages that were never accessed have the same entry.
                if any(entry & (_PRESENT | _SWAPPED) and not entry & _OF_FILE for entry in set(array.array("Q", data))):
                    return True
    except OSError:
        return True
    return False
