"""A crontab: each line with papermill commands becomes a notebook with its schedule.

A line with only a papermill command becomes a tagged copy of the command's notebook. A line with several commands
becomes a notebook with a task for each command: a papermill command becomes a task with the code of its notebook, any
other command becomes a task of the operator bash.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .imported import (
    LOAD,
    Imported,
    ImportedNotebook,
    ImportSourceError,
    code_cell,
    dag_header,
    notebook,
    placeholder_cell,
    read_source,
    task_cells,
    task_header,
    task_name,
)
from .scheduled import local_zone, scheduled_notebook
from .shell import Command, Papermill, commands, papermill_of, unwrapped, yaml_values

_VARIABLE = re.compile(r"""\s*([A-Za-z_]\w*)\s*=\s*(?:"([^"]*)"|'([^']*)'|(.*?))\s*""")
_LINE = re.compile(r"\s*(@\w+|(?:\S+\s+){4}\S+)\s+(.*)")
_SCHEDULES = {"@midnight": "@daily", "@annually": "@yearly"}
_SHELL_WORDS = ("cd", "source", ".", "export", "set", "umask", "ulimit", "true", ":", "sleep")


@dataclass(slots=True)
class _Step:
    """A command that becomes a task."""

    command: str  # the command's text
    folder: Path
    papermill: Papermill | None = None
    name: str = ""  # name of its program


def detect(path: Path) -> bool:
    """Return whether this is a text file with a line that has a schedule and a papermill command."""
    if not path.is_file() or path.stat().st_size > 1 << 20:
        return False
    text = path.read_bytes()
    return re.search(rb"^\s*(?:@\w+|(?:[\d*/,\-A-Za-z]+\s+){5}).*papermill", text, re.MULTILINE) is not None


def read(path: Path) -> Imported:
    """Return a notebook for each line with a papermill command."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else "not UTF-8 text"
        raise ImportSourceError(str(path), f"cannot be read ({reason.lower()})", "check the path") from None
    found = Imported()
    _Reader(path, found).read(text)
    if not found.notebooks and not found.not_carried_over:
        hint = "save yours with: crontab -l > crontab.txt"
        raise ImportSourceError(str(path), "has no line with papermill", hint)
    return found


class _Reader:
    def __init__(self, path: Path, found: Imported) -> None:
        self.path = path
        self.found = found
        self.variables = {"HOME": str(Path.home())}
        self.zone: str | None = None
        self.taken: list[str] = []
        self.has_user = path.parent.name == "cron.d" or path.as_posix() == "/etc/crontab"

    def read(self, text: str) -> None:
        for number, line in enumerate(text.splitlines(), 1):
            stripped = line.strip()
            if not stripped or stripped.startswith("#"):
                continue
            if variable := _VARIABLE.fullmatch(stripped):
                self._set(number, variable[1], next(each for each in variable.groups()[1:] if each is not None))
            elif match := _LINE.fullmatch(stripped):
                command = match[2].partition(" ")[2] if self.has_user else match[2]
                if "papermill" in command:
                    self._line(number, match[1], re.sub(r"\\%", "%", command))
                else:
                    self._leave(number, command, "the line does not run papermill")
            else:
                self._leave(number, stripped, "the line has no schedule with a command")

    def _set(self, number: int, name: str, value: str) -> None:
        if name in ("CRON_TZ", "TZ"):
            self.zone = value
        elif name == "MAILTO":
            if value:
                advice = f"add an Apprise URL to %dag: --on-failure mailto://USER:PASSWORD@SERVER?to={value}"
                self._leave(number, f"MAILTO={value}", advice)
        elif name not in ("SHELL", "PATH", "LOGNAME", "USER"):
            self.variables[name] = value

    def _leave(self, number: int, what: str, reason: str) -> None:
        self.found.leave(f"{self.path.name}, line {number}", what, reason)

    def _line(self, number: int, schedule: str, command: str) -> None:
        try:
            steps = list(self._steps(number, command))
        except ValueError as failure:
            self._leave(number, command, str(failure).lower())
            return
        runs = [step.papermill for step in steps if step.papermill is not None]
        if not runs:
            self._leave(number, command, "the line has no papermill command; a script may contain it")
            return
        name = task_name(Path(runs[-1].notebook).stem, self.taken)
        self.taken.append(name)
        options = self._options(number, schedule)
        folder = steps[0].folder
        try:
            if len(steps) == 1:
                folder /= Path(runs[0].cwd).expanduser()
                content = self._one(number, name, options, steps[0], runs[0])
            else:
                content = self._several(number, name, options, steps)
        except ImportSourceError as failure:
            self._leave(number, f"the notebook {failure.path}", failure.reason)
            return
        if content is not None:
            self.found.notebooks.append(ImportedNotebook(name=f"{name}.ipynb", folder=folder, content=content))

    def _options(self, number: int, schedule: str) -> dict[str, Any]:
        schedule = _SCHEDULES.get(schedule, " ".join(schedule.split()))
        if schedule == "@reboot":
            self._leave(number, "@reboot", "nbdag has no such schedule; start a run with: nbdag trigger")
            return {}
        zone = self.zone or local_zone()
        if zone is None:
            self._leave(number, "the time zone", "the time zone of this machine is unknown; add --tz to %dag")
        return {"schedule": schedule, "tz": None if zone == "UTC" else zone}

    # -- the command ---------------------------------------------------------------------------------------------------

    def _steps(self, number: int, text: str) -> Iterator[_Step]:
        folder = Path.home()
        variables = dict(self.variables)
        for command in _flat(commands(text)):
            words, own, wrappers = unwrapped(command.words)
            if command.operator in ("||", "|"):
                text = f"{command.operator} {' '.join(command.words)}"
                self._leave(number, text, "--on-failure of %dag notifies people")
                continue
            if not words:
                variables |= own
                continue
            if words[0] == "cd":
                folder = folder / Path(_filled(words[1] if len(words) > 1 else "~", variables)).expanduser()
                continue
            if words[0] == "export":
                variables |= dict(word.partition("=")[::2] for word in words[1:])
                continue
            if words[0] in _SHELL_WORDS:
                reason = "run nbdag and its scheduler in this environment"
                activates = words[0] in ("source", ".")
                self._leave(number, " ".join(words), reason if activates else "it is a command of the shell alone")
                continue
            own = {**variables, **own}
            if Path(words[0]).name != "papermill":
                redirections = "".join(f" {operator}{shlex.quote(file)}" for operator, file in command.redirected)
                yield _Step(_shell_text(command.words) + redirections, folder, name=Path(words[0]).stem)
                continue
            for wrapper in wrappers:
                self._leave(number, wrapper, _wrapper_reason(wrapper))
            for operator, file in command.redirected:
                if file != "/dev/null" and "&" not in operator:
                    self._leave(number, f"output into {file}", "nbdag logs prints the output of a task")
            if words[0].startswith("/"):
                self._leave(number, words[0], "deploy the notebook with the nbdag of this environment")
            yield _Step(_shell_text(words), folder, papermill_of(words, own))

    def _one(
        self, number: int, name: str, options: Mapping[str, Any], step: _Step, run: Papermill
    ) -> dict[str, Any] | None:
        path = self._notebook(number, step, run)
        if path is None:
            return None
        values = self._values(number, step, run)
        content = scheduled_notebook(path, run.notebook, name, options, values, self.found)
        if run.kernel:
            content = {**content, "metadata": {**content["metadata"], "kernelspec": _kernel(run.kernel)}}
        return content

    def _several(self, number: int, name: str, options: Mapping[str, Any], steps: list[_Step]) -> dict[str, Any] | None:
        cells = [code_cell(f"{LOAD}\n{dag_header(name, **options)}")]
        before: tuple[str, ...] = ()
        taken: list[str] = []
        kernel: Mapping[str, Any] = {}
        for step in steps:
            task = task_name(Path(step.papermill.notebook).stem if step.papermill else step.name, taken)
            taken.append(task)
            if step.papermill is None:
                cells.append(code_cell(f"{task_header(task, after=before, operator='bash')}\n{step.command}"))
            else:
                path = self._notebook(number, step, step.papermill)
                if step.papermill.cwd and (step.folder / step.papermill.cwd).resolve() != step.folder.resolve():
                    reason = "tasks of one notebook share a working folder; write absolute paths in the cell"
                    self._leave(number, f"--cwd {step.papermill.cwd}", reason)
                header = task_header(task, after=before)
                if path is None:
                    cells.append(placeholder_cell(header, f"{step.papermill.notebook} cannot be read"))
                else:
                    source = read_source(path, step.papermill.notebook, injected=False)
                    kernel = kernel or source.kernel
                    values = self._values(number, step, step.papermill)
                    cells += task_cells(source, header, [f"{key} = {value}" for key, value in values.items()])
            before = (task,)
        return notebook(cells, kernel, load=False)

    def _notebook(self, number: int, step: _Step, run: Papermill) -> Path | None:
        """Return the notebook of a command, or None if there is no such file."""
        for what, reason in run.left:
            self._leave(number, what, reason)
        if run.output not in ("", "-", "/dev/null"):
            reason = "the report of a run has the outputs; nbdag report latest writes it as HTML"
            self._leave(number, f"the executed notebook {run.output}", reason)
        path = step.folder / Path(run.notebook).expanduser()
        if "://" in run.notebook or not path.is_file():
            reason = "copy it to this machine first" if "://" in run.notebook else f"{path} does not exist"
            self._leave(number, f"the notebook {run.notebook}", reason)
            return None
        return path

    def _values(self, number: int, step: _Step, run: Papermill) -> dict[str, str]:
        values: dict[str, str] = {}
        for file in run.files:
            try:
                values |= {key: repr(value) for key, value in yaml_values(step.folder / file)}
            except (OSError, ValueError) as failure:
                reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else str(failure)
                self._leave(number, f"parameters of {file}", reason.lower())
        values |= run.values
        for name in run.unknown:
            reason = "the shell computes its value; compute it in the parameters cell, or in setup"
            self._leave(number, f"parameter {name} = {values.pop(name, '')}", reason)
        return values


def _flat(found: list[Command]) -> Iterator[Command]:
    """Yield the commands; replace `sh -c '…'` by the commands in its argument."""
    for command in found:
        words, _, _ = unwrapped(command.words)
        if len(words) > 2 and Path(words[0]).name in ("sh", "bash", "zsh") and re.fullmatch("-[a-z]*c", words[1]):
            inner = list(_flat(commands(words[2])))
            if inner:
                inner[0].operator = command.operator
                inner[-1].redirected += command.redirected
            yield from inner
        else:
            yield command


def _filled(text: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$\{?(\w+)\}?", lambda match: variables.get(match[1], match[0]), text)


def _shell_text(words: Iterable[str]) -> str:
    """Return the words as a command; the shell will still expand the variables in it."""
    return " ".join(f'"{word}"' if re.search(r"[$`]", word) else shlex.quote(word) for word in words)


def _kernel(name: str) -> dict[str, str]:
    return {"name": name, "display_name": name, "language": "python"}


def _wrapper_reason(wrapper: str) -> str:
    name = Path(wrapper.split()[0]).name
    if name == "flock":
        return "--max-active-runs 1 of %dag prevents two runs at once"
    if name == "timeout":
        return "--timeout of %dag limits a run"
    if name in ("conda", "mamba", "micromamba", "uv", "poetry", "pipenv") or name.startswith("python"):
        return "deploy the notebook with the nbdag of this environment"
    return "nbdag starts the tasks itself"
