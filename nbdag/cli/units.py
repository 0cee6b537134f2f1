"""What keeps a scheduler running: a unit for systemd, a property list for launchd.

Both start the interpreter that printed them, in this folder, with the home and database of now; a database's URL is
left out where it holds a password, and named instead.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .. import home

KINDS = ("systemd", "launchd")
_LABEL = "org.nbdag.scheduler"


def unit(kind: str, *words: str) -> str:
    """The text of a unit that runs `nbdag scheduler` with these further words."""
    command = [sys.executable, "-m", "nbdag", "scheduler", *words]
    return _systemd(command) if kind == "systemd" else _launchd(command)


def _environment() -> dict[str, str]:
    here = home.find()
    said = {"NBDAG_HOME": str(here.root), "PATH": os.environ.get("PATH", os.defpath)}
    if here.url is not None and not _secret():
        said["NBDAG_DB_URL"] = here.url
    return said


def _secret() -> bool:
    url = home.find().url
    return url is not None and home.without_secrets(url) != url


def _systemd(command: list[str]) -> str:
    def quoted(word: str) -> str:
        escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
        return f'"{escaped}"'

    lines = [
        "# systemctl --user edit --full --force nbdag-scheduler.service   (paste this)",
        "# systemctl --user enable --now nbdag-scheduler && loginctl enable-linger",
        "[Unit]",
        "Description=nbdag scheduler",
        "",
        "[Service]",
        f"WorkingDirectory={str(Path.cwd()).replace('%', '%%')}",
        *(f"Environment={quoted(f'{name}={value}')}" for name, value in _environment().items()),
        *(["# a file of mode 0600 with the line NBDAG_DB_URL=…, which holds a password",
           "EnvironmentFile=%h/.config/nbdag.env"] if _secret() else []),
        # systemd replaces $NAME in a command, and only there
        "ExecStart=" + " ".join(quoted(word).replace("$", "$$") for word in command),
        "# the scheduler alone is told to end: it lets its tasks end first",
        "KillMode=mixed",
        "TimeoutStopSec=300",
        "Restart=always",
        "RestartSec=5",
        "",
        "[Install]",
        "WantedBy=default.target",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _launchd(command: list[str]) -> str:
    import plistlib

    logs = Path("~/Library/Logs/nbdag-scheduler.log").expanduser()
    what = {
        "Label": _LABEL,
        "ProgramArguments": command,
        "WorkingDirectory": str(Path.cwd()),
        "EnvironmentVariables": _environment(),
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": 5,
        "ExitTimeOut": 300,
        "StandardOutPath": str(logs),
        "StandardErrorPath": str(logs),
    }
    text = plistlib.dumps(what, sort_keys=False).decode()
    how = f"<!-- save it as ~/Library/LaunchAgents/{_LABEL}.plist, then `launchctl load` that file -->"
    return text.replace("<plist ", f"{how}\n<plist ", 1)
