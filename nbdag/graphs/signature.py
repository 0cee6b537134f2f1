"""The signature in a picture file, by which a command recognises a picture that it drew earlier."""

from __future__ import annotations

from struct import pack
from zlib import crc32

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_HEAD = 33  # length in bytes of the start of a PNG: its name and the chunk IHDR


def sign(picture: bytes, command: str) -> bytes:
    """Return a picture with the command that drew it in its first bytes, invisible for a viewer."""
    text = _text(command)
    if picture.startswith(_PNG):
        body = b"tEXtSoftware\0" + text
        chunk = pack(">I", len(body) - 4) + body + pack(">I", crc32(body))
        return picture[:_PNG_HEAD] + chunk + picture[_PNG_HEAD:]
    if picture.startswith(b"<svg "):
        return b'<svg data-origin="' + text + b'" ' + picture.removeprefix(b"<svg ")
    return (b"%% " if picture.startswith(b"flowchart ") else b"// ") + text + b"\n" + picture


def is_signed(head: bytes, command: str) -> bool:
    """Return whether a file that begins with these bytes was signed for the command."""
    text = _text(command)
    if head.startswith(_PNG):
        return head[_PNG_HEAD + 4 :].startswith(b"tEXtSoftware\0" + text)
    return head.startswith((b'<svg data-origin="' + text + b'"', b"%% " + text + b"\n", b"// " + text + b"\n"))


def _text(command: str) -> bytes:
    return f"drawn by `nbdag {command}`".encode()
