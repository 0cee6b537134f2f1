"""The help of nbdag's magics, and what Tab offers in them: both made from the table of options."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from itertools import groupby

from .options import OPTIONS, Option

_EXAMPLES = {
    "task": """\
%%task NAME [options]

The cell below is a task. When you run it, it runs as any other cell does; a headless run gives
it a kernel of its own, with the values that it reads.

Examples
  %%task train
  %%task train --retries 2 --timeout 10m --pool gpu
  %%task validate --check "accuracy >= 0.9"
  %%task deploy --after validate --when "accuracy > best"
  %%task score --map fold=folds
  %%task fetch --operator bash --doc "copies last night's files"

A bash cell ends at the first command that fails (set -e). {name} is a value, quoted for the shell,
and $name an environment variable, where parameters, setup or tasks set that name; all else is the
shell's. A sensor looks again until its last expression is true.

A task follows the tasks that made what it reads; --after adds order that no variable shows.
In the notebook the cell simply runs, a mapped one once per element: retries, timeouts, pools and
schedules belong to headless runs (nbdag run, nbdag scheduler).
""",
    "dag": """\
%dag                        draws the graph here
%dag [NAME] [options]       names the pipeline and says how it runs
%%dag [NAME] [options]      the same, and the code below makes tasks

Examples
  %dag churn --schedule "0 6 * * *" --tz Europe/Paris --start-date 2026-01-01 --owner ml
  %dag churn --schedule @daily --start-date 2026-01-01 --catchup --tags sales weekly
  %dag churn --schedule 'every 15m' --max-active-runs 1 --fail-fast
  %dag churn --retries 2 --retry-delay 5m --task-timeout 1h

Tasks made by code, for pipelines whose shape a program decides
  %%dag sweep --retries 1
  fits = [Python(f"fit_{d}", f"m_{d} = fit(X, y, depth={d})", timeout="10m") for d in depths]
  best = Python("best", pick, [f"m_{d}" for d in depths])       # calls the function pick
  fits >> best >> Bash("copy", "cp model.pkl /srv")

Each becomes a cell %%task NAME, with the options of %%task in Python's spelling. The code sees
parameters and setup; Python, Bash, Sensor, Operator and chain are there. Whatever reads the
notebook runs it, for at most 30 s: nbdag check, show, run, deploy, and each run of its own.

A schedule counts once the notebook is deployed (nbdag deploy) and a scheduler runs (nbdag
scheduler). What is said here of tasks holds for all whose own header does not say otherwise.
Schedules, retries, timeouts and pools belong to headless runs; in the notebook a cell simply runs.
""",
    "edges": """\
%edges CHAIN[; CHAIN …]

Order that no variable shows: files, tables, services. It carries no values.

Examples
  %edges extract >> [clean, profile] >> load
  %edges report << load
  %edges a >> b; c >> d
""",
    "setup": """\
%%setup

The cell below runs in every task's kernel, before the task: imports, helpers, connections. Code
above the first task is setup anyway; %%setup makes it so anywhere. In the notebook the cell
simply runs.
""",
    "params": """\
%%params

The cell below holds the pipeline's parameters and their defaults. A run can override them:
  nbdag run churn.ipynb -p alpha 0.5
It is what papermill's `parameters` tag says, in a line that can be seen.
""",
    "skip": """\
%%skip

The cell below runs here, in the notebook, and never headlessly: explorations, plots for yourself.
""",
    "nbdag": """\
%nbdag COMMAND [arguments]

The command line, in this kernel.

Examples
  %nbdag check churn.ipynb
  %nbdag run churn.ipynb --jobs 4
  %nbdag deploy churn.ipynb
""",
}
_DURATIONS = "TIME is 90, 30s, 5m, 1h30m or 2d. EXPR is Python, in quotes. --no- before a flag turns it off."


def help(kind: str) -> str:
    """What a header of this kind does and takes, for a terminal."""
    sections = [_EXAMPLES[kind].rstrip()]
    own = [option for option in OPTIONS.get(kind, ()) if not option.is_default]
    for group, options in groupby(own, lambda option: option.group):
        sections.append(f"{group}\n" + "\n".join(_entry(option) for option in options))
    defaults = [option for option in OPTIONS.get(kind, ()) if option.is_default]
    if defaults:
        flags = ", ".join(f"--{option.flag}" for option in defaults)
        sections.append("Defaults for every task (%%task? explains them)\n" + _indented(flags, 2))
    if own:
        sections.append(_indented(_DURATIONS, 0))
    return "\n\n".join(sections) + "\n"


def _entry(option: Option) -> str:
    turn_off = "no-" if option.kind.flag and option.field == "infer" else ""
    told = f"  --{turn_off}{option.flag} {option.kind.metavar}".rstrip()
    text = textwrap.wrap(option.help, 70)
    gap = "\n" + " " * 30
    return f"{told:<28}  {gap.join(text)}" if len(told) <= 28 else f"{told}{gap}{gap.join(text)}"


def _indented(text: str, by: int) -> str:
    blank = " " * by
    return textwrap.fill(text, 100, initial_indent=blank, subsequent_indent=blank, break_on_hyphens=False)


def word_start(text: str, cursor: int) -> int:
    """Where the piece begins that a completion at the cursor replaces: after a blank, a comma or an equals sign."""
    found = re.search(r"[^\s,=\[\];]*\Z", text[:cursor])
    return found.start() if found else cursor


def complete(text: str, cursor: int, tasks: Iterable[str] = (), operators: Iterable[str] = ()) -> list[str]:
    """What can stand at the cursor in a header line: options, the values of an option, the names of tasks.

    Each is a replacement for `text[word_start(text, cursor):cursor]`.
    """
    before = text[: word_start(text, cursor)]
    typed = text[word_start(text, cursor) : cursor]
    magic = re.match(r"\s*%%?(\w+)\s", before)
    if magic is None:
        return []
    kind = magic[1]
    if kind == "edges":
        offered: Sequence[str] = sorted(set(tasks))
    else:
        offered = _offered(kind, before, typed, tasks, operators)
    return [each for each in offered if each.startswith(typed) and each != typed]


def _offered(kind: str, before: str, typed: str, tasks: Iterable[str], operators: Iterable[str]) -> Sequence[str]:
    options = {option.flag: option for option in OPTIONS.get(kind, ())}
    if typed.startswith("-") and not before.endswith(("=", ",")):
        said = set(re.findall(r"--(?:no-)?([\w-]+)", before))
        flags = [
            spelling
            for flag, option in options.items()
            if flag not in said or option.kind.many or option.kind.repeat
            for spelling in ([f"--{flag}", f"--no-{flag}"] if option.kind.flag else [f"--{flag}"])
        ]
        return flags if not typed.startswith("--no") else [flag for flag in flags if flag.startswith("--no-")]
    option = _open_option(before, options)
    if option is None:
        return ()
    if option.kind.tasks:
        # A task that the line names already is no candidate.
        return sorted(set(tasks) - set(re.findall(r"[^\s,=]+", before)))
    if option.kind.operators:
        return sorted(set(operators))
    return list(option.kind.choices())


def _open_option(before: str, options: dict[str, Option]) -> Option | None:
    """The option whose value is being typed."""
    found = re.search(r"--([\w-]+)(?:=|\s+)([^-\s]\S*\s*)*\Z", before)
    if not found or found[1] not in options:
        return None
    option = options[found[1]]
    values = before[found.start() :].split()[1:]
    open_list = option.kind.many or before.endswith("=")
    return option if not option.kind.flag and (not values or open_list) else None
