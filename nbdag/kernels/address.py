"""Where a forked kernel is found: by the child's folder and secret, which its owner knows without asking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TARGET = "nbdag.kernels.forkedkernel:ForkedKernel"
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
