"""The arguments of the request for a forked kernel, and the kernel's connection file, which follows from the child's
folder and secret.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zlib import crc32

TARGET = "nbdag.kernels.jupyter.forked_kernel:ForkedKernel"
_PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
_MAX_BASE = 1_999  # so that a port has at most four digits, because the path of a socket may not be long


def connection_info(folder: Path, secret: str) -> dict[str, Any]:
    """Return the contents of the kernel's connection file. The child's secret is the key that signs every message.

    Two kernels have different ports, although the port is only a suffix of a socket's name: Jupyter Server compares the
    ports to find out whether a restarted kernel has a new address. If they were equal, it would wait for an answer at
    the old address for a minute.
    """
    first = 1 + len(_PORTS) * (crc32(secret.encode()) % _MAX_BASE)
    return {
        **{name: number for number, name in enumerate(_PORTS, first)},
        "transport": "ipc",
        "ip": str(folder / "k"),
        "key": secret.encode(),
        "signature_scheme": "hmac-sha256",
    }


def arguments(command_line: Iterable[str]) -> bytes:
    """Return what the fork server passes to the target of a kernel: the kernel's command line without the connection
    file.
    """
    return json.dumps(list(command_line)).encode()
