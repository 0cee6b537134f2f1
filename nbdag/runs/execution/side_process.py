"""Run a module of nbdag in a separate process with a time limit. The module may hang, crash or import slowly."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def call_module(module: str, given: Any, *, cwd: str, limit: float) -> str:
    """Run a module that reads `given` as JSON from standard input, for at most `limit` seconds.

    If the module fails, return the last line of its standard error, which says why; else return "".
    """
    try:
        done = subprocess.run(
            # -P: files of the user's folder must not replace modules of nbdag and its libraries.
            [sys.executable, "-P", "-m", module],
            input=json.dumps(given),
            cwd=cwd, capture_output=True, text=True, encoding="utf-8", timeout=limit, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"sending took more than {limit:g} s"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines()
    return lines[-1][:300] if lines else f"exit code {done.returncode}"
