"""Help and completion for nbdag's magics, generated from the declarations of the options."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from itertools import groupby

from .declaration import Option
from .operator_options import OperatorHelp, help_of_operators, options_of_operator
from .options import OPTIONS

_EXAMPLES = {
    "task": """\
%%task NAME [options]

Makes this cell a task. In the notebook the cell runs like any other cell; a headless run executes
it in a kernel of its own, with the values that it reads.

Examples
  %%task train
  %%task train --retries 2 --timeout 10m --pool gpu
  %%task train --resources gpu=1 memory=8GB
  %%task validate --check "accuracy >= 0.9"
  %%task deploy --after validate --when "accuracy > best"
  %%task score --map fold=folds
  %%task choose --branch              # its last expression: "deploy" if better else "notify"
  %%task eu.load --after eu.extract   # a dot makes a group; --after eu means the end of the group
  %%task stop --teardown-for start
  %%task fetch --operator bash --doc "copies last night's files"

With an operator other than python, the text below the header is in the operator's language.
There, and in texts among the operator's options, templates of Airflow are rendered: {{ ds }},
{{ data_interval_start }}, {{ params.x }}, {{ var.value.x }}, {{ conn.x.host }}, and the result of
another task, {{ ti.xcom_pull('extract') }}. A Python cell has the same in dag_run: dag_run.ds,
dag_run.params, dag_run.ti. `nbdag logs TASK --rendered` shows the rendered texts.

A task runs after the tasks whose variables it reads; --after adds dependencies that no variable
shows. In the notebook the cell runs once, and a mapped cell once per element: retries, timeouts,
pools and schedules apply to headless runs only (nbdag run, nbdag scheduler).
""",
    "dag": """\
%dag                        draws the graph here
%dag [NAME] [options]       sets the name and the options of the pipeline
%%dag [NAME] [options]      the same; the code in the cell creates tasks

Examples
  %dag churn --schedule "0 6 * * *" --tz Europe/Paris --start-date 2026-01-01 --owner ml
  %dag churn --schedule @daily --start-date 2026-01-01 --catchup --tags sales weekly
  %dag churn --schedule 'every 15m' --max-active-runs 1 --fail-fast
  %dag churn --retries 2 --retry-delay 5m --task-timeout 1h
  %dag churn --with lib/ sql/*.sql    # deployed versions have these files, too
  %dag churn --requires 'pandas==3.1' scikit-learn     # an environment of its own, made by uv

Tasks created by code, for pipelines whose shape a program decides
  %%dag sweep --retries 1
  fits = [Python(f"fit_{d}", f"m_{d} = fit(X, y, depth={d})", timeout="10m") for d in depths]
  best = Python("best", pick, [f"m_{d}" for d in depths])       # calls the function pick
  fits >> best >> Bash("copy", "cp model.pkl /srv")

Each becomes a cell %%task NAME; the options of %%task are keyword arguments. The code can use the
parameters, setup, and the names chain, Operator and that of each operator's class (Python, Bash,
Sql, Http …), with the operator's own options as keywords. It is executed whenever the notebook is
read (nbdag check, show, run, deploy) and for each scheduled run, for 30 s at most.

A schedule takes effect when the notebook is deployed (nbdag deploy) and a scheduler runs (nbdag
scheduler). Task options given here are defaults; a task's own header overrides them.
Schedules, retries, timeouts and pools apply to headless runs only.
""",
    "edges": """\
%edges CHAIN[; CHAIN …]

Declares order that no variable shows, such as through files, tables or services. It passes no
values.

Examples
  %edges extract >> [clean, profile] >> load
  %edges report << load
  %edges a >> b; c >> d
""",
    "setup": """\
%%setup

Makes this cell setup, which runs in every task's kernel before the task: imports, helpers,
connections. Code above the first task is setup without a header. In the notebook the cell runs
like any other cell.
""",
    "params": """\
%%params

Makes this cell the pipeline's parameters and their defaults. A run can override them:
  nbdag run churn.ipynb -p alpha 0.5
The header has the same meaning as papermill's cell tag `parameters`.

Types and rules are checked before a run starts, whichever way it starts. A comment describes the
parameter, and may begin with a rule. JSON Schema is allowed, too
  alpha: float = 0.5                 # in (0, 1): the learning rate
  region: Literal["EU", "US"] = "EU"
  day: date = date(2026, 1, 31)      # -p day 2026-02-01 is a date, too
  name: Annotated[str, {"pattern": "^[a-z]+$"}] = "orders"
nbdag run churn.ipynb --help-notebook prints them, nbdag check --json as JSON Schema.
""",
    "skip": """\
%%skip

Excludes this cell from headless runs, such as explorations and plots. In the notebook it runs like
any other cell.
""",
    "nbdag": """\
%nbdag COMMAND [arguments]

Runs the command line of nbdag in this kernel. Without a notebook, check, show, suggest, run and
deploy read the notebook of this kernel. `load` sets the inputs of a task of a run as variables
here.

Examples
  %nbdag load train
  %nbdag check churn.ipynb
  %nbdag run churn.ipynb --jobs 4
  %nbdag deploy churn.ipynb
""",
}
_DURATIONS = "TIME is 90, 30s, 5m, 1h30m or 2d. EXPR is Python, in quotes. --no-FLAG turns a flag off."


def help(kind: str) -> str:
    """Return the help of a magic, for a terminal."""
    sections = [_EXAMPLES[kind].rstrip()]
    own = [option for option in OPTIONS.get(kind, ()) if not option.is_default]
    for group, options in groupby(own, lambda option: option.group):
        sections.append(f"{group}\n" + "\n".join(_entry(option) for option in options))
    defaults = [option for option in OPTIONS.get(kind, ()) if option.is_default]
    if defaults:
        flags = ", ".join(f"--{option.flag}" for option in defaults)
        sections.append("Defaults of all tasks (see %%task?)\n" + _indented(flags, 2))
    if own:
        sections.append(_indented(_DURATIONS, 0))
    if kind == "task":
        sections.extend(_operator_help(each) for each in help_of_operators())
    return "\n\n".join(sections) + "\n"


def _operator_help(operator: OperatorHelp) -> str:
    parts = [f"Operator {operator.name}", _indented(operator.summary, 2)]
    if operator.example:
        parts.append(textwrap.indent(operator.example.strip("\n"), " " * 6))
    return "\n".join([*parts, *(_entry(option) for option in operator.options)])


def _entry(option: Option) -> str:
    turn_off = "no-" if option.kind.flag and option.field == "infer" else ""
    usage = f"  --{turn_off}{option.flag} {option.kind.metavar}".rstrip()
    text = textwrap.wrap(option.help, 70)
    gap = "\n" + " " * 30
    return f"{usage:<28}  {gap.join(text)}" if len(usage) <= 28 else f"{usage}{gap}{gap.join(text)}"


def _indented(text: str, by: int) -> str:
    blank = " " * by
    return textwrap.fill(text, 100, initial_indent=blank, subsequent_indent=blank, break_on_hyphens=False)


def given_operator(text: str) -> str:
    """Return the operator given in the options of a header, or "" if no operator is given."""
    found = re.search(r"(?<!\S)--operator(?:=|\s+)['\"]?([^\s'\"]+)", text)
    return found[1] if found else ""


def word_start(text: str, cursor: int) -> int:
    """Return where the word at the cursor, which completion replaces, starts. Blanks, commas and = separate words."""
    found = re.search(r"[^\s,=\[\];]*\Z", text[:cursor])
    return found.start() if found else cursor


def complete(text: str, cursor: int, tasks: Iterable[str] = (), operators: Iterable[str] = ()) -> list[str]:
    """Return completions at the cursor of a header line: options, values of an option, names of tasks.

    Each completion replaces `text[word_start(text, cursor):cursor]`.
    """
    before = text[: word_start(text, cursor)]
    typed = text[word_start(text, cursor) : cursor]
    magic = re.match(r"\s*%%?(\w+)\s", before)
    if magic is None:
        return []
    kind = magic[1]
    if kind == "edges":
        candidates: Sequence[str] = sorted(set(tasks))
    else:
        candidates = _candidates(kind, before, text[cursor:], typed, tasks, operators)
    return [each for each in candidates if each.startswith(typed) and each != typed]


def _candidates(
    kind: str, before: str, after: str, typed: str, tasks: Iterable[str], operators: Iterable[str]
) -> Sequence[str]:
    options = {option.flag: option for option in OPTIONS.get(kind, ())}
    if kind == "task":
        options |= {option.flag: option for option in options_of_operator(given_operator(f"{before} {after}"))}
    if typed.startswith("-") and not before.endswith(("=", ",")):
        given = set(re.findall(r"--(?:no-)?([\w-]+)", before))
        flags = [
            spelling
            for flag, option in options.items()
            if flag not in given or option.kind.many or option.kind.repeat
            for spelling in ([f"--{flag}", f"--no-{flag}"] if option.kind.flag else [f"--{flag}"])
        ]
        return flags if not typed.startswith("--no") else [flag for flag in flags if flag.startswith("--no-")]
    option = _open_option(before, options)
    if option is None:
        return ()
    if option.kind.tasks:
        # Tasks that the line already names are excluded.
        return sorted(set(tasks) - set(re.findall(r"[^\s,=]+", before)))
    if option.kind.operators:
        return sorted(set(operators))
    return list(option.kind.choices())


def _open_option(before: str, options: dict[str, Option]) -> Option | None:
    """Return the option whose value is being typed, or None if no value is being typed."""
    found = re.search(r"--([\w-]+)(?:=|\s+)([^-\s]\S*\s*)*\Z", before)
    if not found or found[1] not in options:
        return None
    option = options[found[1]]
    values = before[found.start() :].split()[1:]
    open_list = option.kind.many or before.endswith("=")
    return option if not option.kind.flag and (not values or open_list) else None
