"""How a forked kernel is asked for, and where it is found: its owner knows by the child's folder and secret."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

TARGET = "nbdag.kernels.jupyter.forked_kernel:ForkedKernel"
_PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")


def connection_info(folder: Path, secret: str) -> dict[str, Any]:
    """What a connection file says; the key signs every message."""
    return {
        **{name: number for number, name in enumerate(_PORTS, 1)},
        "transport": "ipc",
        "ip": str(folder / "k"),
        "key": secret.encode(),
        "signature_scheme": "hmac-sha256",
    }


def arguments(command_line: Iterable[str]) -> bytes:
    """What a fork server is given: the kernel's command line, without its connection file."""
    return json.dumps(list(command_line)).encode()
