"""The request for a forked kernel: its server, its arguments, and its connection file.

The contents of the connection file are computed from the child's folder and secret.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

from ..forkserver.server_spec import ServerSpec

TARGET = "nbdag.kernels.jupyter.forked_kernel:ForkedKernel"
_PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
_MAX_BASE = 1_999  # keeps ports below five digits, because the path of a socket must be short
# Modules of the standard library that every server of kernels has imported. They are not part of a specification, so
# notebooks that import only these share the server of a notebook without imports.
_STANDARD = """
abc argparse ast asyncio base64 bisect collections collections.abc contextlib copy csv dataclasses datetime decimal enum
functools gc getpass glob gzip hashlib heapq hmac inspect io itertools json keyword logging math numbers operator os
os.path pathlib pickle platform pprint queue random re secrets select shlex shutil signal socket sqlite3 stat statistics
string struct subprocess sys tempfile textwrap threading time traceback types typing unicodedata uuid warnings weakref
zipfile zlib zoneinfo
"""
IN_EVERY_SERVER = frozenset(_STANDARD.split())


def kernel_server_spec(
    modules: Iterable[str] = (), env: Mapping[str, str] | None = None, python: str = ""
) -> ServerSpec:
    """Return the specification of the server for kernels with these modules (`a.b`, or `a:b`) preloaded.

    `python` is the Python of the kernels' environment ("": this Python).
    """
    preloaded = [each for each in modules if each.partition(":")[0] not in IN_EVERY_SERVER]
    return ServerSpec.of(preloaded, targets=[TARGET], env=env, python=python or sys.executable)


def environment_variables(python: str) -> dict[str, str]:
    """Return the environment variables of a kernel that runs in the environment of this Python.

    With these variables, `!pip` and other programs that the kernel starts come from the environment.
    """
    folder = Path(python).parent
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PATH")])])
    return {"VIRTUAL_ENV": str(folder.parent), "PATH": path}


def connection_info(folder: Path, secret: str) -> dict[str, Any]:
    """Return the contents of the kernel's connection file. The child's secret is the key that signs every message.

    A port is only the suffix of a socket's name here, but two kernels still have different ports. Jupyter Server
    compares the ports to find out whether a restarted kernel has a new address. If the ports were equal, Jupyter Server
    would wait for an answer at the old address for a minute.
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
