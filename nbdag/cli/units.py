"""Service definitions that keep a scheduler running: a unit for systemd, a property list for launchd.

The service runs nbdag with the current Python interpreter, folder, home and database. A database URL that contains a
password is omitted; a comment in the definition then names the file that must contain the URL.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .. import home, links

KINDS = ("systemd", "launchd")
_LABEL = "org.nbdag.scheduler"


def unit(kind: str, *arguments: str) -> str:
    """Return the text of a service definition that runs `nbdag scheduler` with these arguments."""
    command = [sys.executable, "-m", "nbdag", "scheduler", *arguments]
    return _systemd(command) if kind == "systemd" else _launchd(command)


def _environment() -> dict[str, str]:
    here = home.find()
    variables = {"NBDAG_HOME": str(here.root), "PATH": os.environ.get("PATH", os.defpath)}
    if here.url is not None and not _has_password():
        variables["NBDAG_DB_URL"] = here.url
    if address := os.environ.get(links.VARIABLE):
        variables[links.VARIABLE] = address
    return variables


def _has_password() -> bool:
    url = home.find().url
    return url is not None and home.without_secrets(url) != url


def _systemd(command: list[str]) -> str:
    def quoted(word: str) -> str:
        escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
        return f'"{escaped}"'

    lines = [
        "# systemctl --user edit --full --force nbdag-scheduler.service   (and paste this text)",
        "# systemctl --user enable --now nbdag-scheduler && loginctl enable-linger",
        "[Unit]",
        "Description=nbdag scheduler",
        "",
        "[Service]",
        f"WorkingDirectory={str(Path.cwd()).replace('%', '%%')}",
        *(f"Environment={quoted(f'{name}={value}')}" for name, value in _environment().items()),
        *(["# create this file with mode 0600 and the line NBDAG_DB_URL=…, since the URL contains a password",
           "EnvironmentFile=%h/.config/nbdag.env"] if _has_password() else []),
        # systemd expands $NAME in ExecStart and in no other setting used here
        "ExecStart=" + " ".join(quoted(word).replace("$", "$$") for word in command),
        "# signal only the scheduler, which waits for its tasks to end",
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
    properties = {
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
    text = plistlib.dumps(properties, sort_keys=False).decode()
    comment = f"<!-- save as ~/Library/LaunchAgents/{_LABEL}.plist, then `launchctl load` that file -->"
    return text.replace("<plist ", f"{comment}\n<plist ", 1)
