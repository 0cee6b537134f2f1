"""The arguments of the request for a forked kernel, and the kernel's connection file, which follows from the child's
folder and secret.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

TARGET = "nbdag.kernels.jupyter.forked_kernel:ForkedKernel"
_PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")


def connection_info(folder: Path, secret: str) -> dict[str, Any]:
    """Return the contents of the kernel's connection file. The child's secret is the key that signs every message."""
    return {
        **{name: number for number, name in enumerate(_PORTS, 1)},
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
