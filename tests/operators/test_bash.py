import ast
import datetime
import inspect
import signal
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbdag import operators
from nbdag.core.options.options import TaskOptions
from nbdag.errors import NbdagError, Skip
from nbdag.operators import OperatorError, bash
from nbdag.operators.bash import ScriptError, ShellValueError


def source(body, *out):
    return operators.source(body, TaskOptions(operator="bash", out=out))


def names_read(body, known=("x", "y", "PATH")):
    return [read.name for read in bash.reads(body, known)]


READS = [
    ("echo $x ${x%a} $y", ["x", "y"]),
    ('echo "${x[@]}" ${#y[@]} ${!y}', ["x", "y"]),
    ("echo \\$x $$x {x} x", []),
    ("echo $PATH $missing $xx ${x_} $1 $@", []),
    ("x=1; echo $x", []),
    ("x=${x:-1}; echo $x", ["x"]),
    ('echo $x; x="$x:more"', ["x"]),
    ('x="a $y b"', ["y"]),
    ("for x in a b; do echo $x; done", []),
    ("while read -r x; do echo $x; done < f", []),
    ("f() { local x=2; echo $x; }", []),
    ("echo {{ x }} {% if $x %} $y", ["y"]),
    ("echo ${dag_run}", ["dag_run"]),
]


@pytest.mark.parametrize(("body", "expected"), READS)
def test_a_variable_is_a_read_if_a_cell_sets_it_and_the_script_does_not(body, expected):
    assert names_read(body) == expected


def test_a_read_is_at_its_line():
    tree = ast.parse(operators.source("echo one\necho $x\necho $y $x", TaskOptions(operator="bash"), {"x", "y"}))
    found = [(node.id, node.lineno) for node in ast.walk(tree) if isinstance(node, ast.Name)]
    assert [each for each in found if each[0] in "xy"] == [("x", 2), ("y", 3)]


VALUES = [
    ("text", "text"),
    ("", ""),
    (3, "3"),
    (2.5, "2.5"),
    (True, "true"),
    (None, "null"),
    ({"a": [1, "é"], "b": None}, '{"a": [1, "é"], "b": null}'),
    (datetime.date(2026, 1, 31), "2026-01-31"),
    ({"day": datetime.datetime(2026, 1, 31, 6)}, '{"day": "2026-01-31T06:00:00"}'),
    (Path("a b/c"), "a b/c"),
    (np.float64(0.5), "0.5"),
    (np.int64(3), "3"),
    ({"n": np.int64(3), "xs": np.arange(2)}, '{"n": 3, "xs": [0, 1]}'),
    (b"raw", "raw"),
]


@pytest.mark.parametrize(("value", "expected"), VALUES, ids=lambda value: repr(value)[:30])
def test_a_value_is_a_text_or_json(value, expected, capfd):
    assert bash.run('printf %s "$x"', ("x", value)) == expected


LISTS = [
    (["a", "b c", "", "*"], "4|<a><b c><><*>"),
    ((1, None, [2, 3]), "3|<1><null><[2, 3]>"),
    ([], "0|<>"),
    (range(3), "3|<0><1><2>"),
    (np.array([1.5, 2]), "2|<1.5><2.0>"),
    (pd.Series(["x", "y z"]), "2|<x><y z>"),
]


@pytest.mark.parametrize(("value", "expected"), LISTS, ids=lambda value: repr(value)[:20])
def test_a_list_is_an_array(value, expected, capfd):
    script = 'printf "%s|" "${#xs[@]}"; printf "<%s>" "${xs[@]}"; [[ -v _nbdag_item_ ]] && exit 3; env | grep -c ^_nbdag_item && exit 4; true'
    assert bash.run(script, ("xs", value)).rstrip("0\n") == expected


def test_an_array_does_not_move_the_lines_of_a_script(capfd):
    with pytest.raises(ScriptError, match="line 2: no_such_command_here"):
        bash.run("# a comment\nno_such_command_here ${xs[0]}", ("xs", [1, 2]))


class Odd:
    pass


REFUSED = [
    ("a\0b", "bash cannot take 'x': it contains a NUL character; write it to a file in a Python cell"),
    (["a", "\0"], "it contains a NUL character"),
    (Odd(), "a Odd cannot be written as JSON; pass the data that the script needs"),
    (pd.DataFrame({"a": [1]}), "a DataFrame cannot be written as JSON"),
    ({1, 2}, "a set cannot be written as JSON"),
    ("x" * 3_000_000, "bash cannot take 'x': it is too large for the environment; write it to a file"),
    (["x" * 3_000_000], "bash cannot take 'x': it is too large"),
    ("\ud800", "surrogates not allowed"),
]


@pytest.mark.parametrize(("value", "told"), REFUSED, ids=lambda value: repr(value)[:20])
def test_a_value_that_a_shell_cannot_take_is_refused_in_a_sentence(value, told):
    with pytest.raises(ShellValueError) as caught:
        bash.run("true", ("x", value))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_script_with_a_nul_character_is_refused():
    with pytest.raises(NbdagError, match="the script contains a NUL character"):
        exec(source("echo \0"))


WARNED = [
    ("curl {url}", 'bash does not replace {url}', 'write "$url"'),
    ("echo {day:%Y-%m}", "bash does not replace {day:%Y-%m}", 'compute a text in a Python cell, such as day_text = f"{day:%Y-%m}", and write "$day_text"'),
    ("echo $ulr", "no cell and no script sets $ulr", "did you mean $url?"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "message", "hint"), WARNED)
def test_an_old_field_or_a_misspelt_variable_causes_a_warning(body, message, hint):
    found = list(operators.body_warnings(f"ls\n{body}", TaskOptions(operator="bash"), {"url", "day"}))
    assert found == [(2, message, hint)]


@pytest.mark.parametrize(
    "body",
    [
        "awk '{print}' f",
        "${url}",
        "{a,b} {1..3} {}",
        "f() { ls; }",
        "{{ url }}",
        "$URL $HOME",
        "url2=1; echo $url2",
        "\\{url}",
    ],
)
def test_braces_of_the_shell_cause_no_warning(body):
    assert not list(operators.body_warnings(body, TaskOptions(operator="bash"), {"url", "day"}))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_script_makes_python_with_a_line_for_each_of_its_lines(body):
    made = source(body)
    ast.parse(made)
    assert made.count("\n") == body.count("\n")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_script_reaches_the_shell_as_it_is(body):
    pieces = ast.parse(source(body).rstrip(";"), mode="eval").body.args
    assert "".join(piece.value for piece in pieces if isinstance(piece, ast.Constant)) == body


def test_output_of_a_script_keeps_its_stream(capfd):
    made = operators.source("echo out $x\necho err >&2\nprintf 'é'", TaskOptions(operator="bash"), {"x"})
    exec(made, {"x": 3})
    assert capfd.readouterr() == ("out 3\né", "err\n")


def test_output_of_a_script_appears_at_once(tmp_path):
    # The script waits for a file that is made when its first line has been seen.
    seen = tmp_path / "seen"

    class Watching:
        text = ""

        def write(self, text):
            self.text += text
            if "first" in self.text:
                seen.touch()

        def flush(self):
            pass

    watching, stdout = Watching(), sys.stdout
    sys.stdout = watching
    try:
        bash.run(f"echo first; until [ -e '{seen}' ]; do sleep 0.01; done; echo second")
    finally:
        sys.stdout = stdout
    assert watching.text == "first\nsecond\n"


def test_with_out_the_output_becomes_a_string(capfd):
    names = {}
    exec(source("echo one\necho two\necho\necho no >&2", "listing"), names)
    assert names["listing"] == "one\ntwo"


def test_a_script_has_one_output():
    with pytest.raises(OperatorError, match="write one variable after --out"):
        source("ls", "a", "b")


def test_a_script_leaves_no_name_behind():
    names = {"__builtins__": __builtins__}
    exec(source("true"), names)
    assert list(names) == ["__builtins__"]


FAILURES = [
    ("exit 3", 3, "the script failed with status 3"),
    ("false\necho unreached", 1, "the script failed with status 1"),
    ("echo why >&2; exit 2", 2, "the script failed with status 2: why"),
    ("kill -KILL $$", -signal.SIGKILL, "the script was killed by SIGKILL"),
    ("no_such_command_here", 127, "command not found"),
    ("if", 2, "syntax error"),
]


@pytest.mark.parametrize(("body", "status", "told"), FAILURES)
def test_a_failed_script_raises_an_error_with_its_reason(body, status, told, capfd):
    with pytest.raises(ScriptError) as caught:
        bash.run(body)
    assert caught.value.status == status
    assert told in str(caught.value)


def test_ipython_shows_only_the_message_of_a_script_error(capfd):
    with pytest.raises(ScriptError) as caught:
        bash.run("exit 3")
    assert caught.value._render_traceback_() == ["ScriptError: the script failed with status 3"]


def test_set_plus_e_continues_after_a_failure(capfd):
    assert bash.run("set +e\nfalse\necho reached") == "reached"


def test_status_99_skips_the_task():
    with pytest.raises(Skip, match="99"):
        bash.run("exit 99")


def test_a_script_reads_no_input(capfd):
    assert bash.run("cat; echo done") == "done"


def test_invalid_and_split_characters_are_decoded(capfd):
    assert bash.run("printf '\\xff\\xc3'; printf '\\xa9'") == "\ufffdé"


def test_an_interrupted_script_is_terminated():
    class Interrupting:
        def write(self, text):
            raise KeyboardInterrupt

        def flush(self):
            pass

    stdout, sys.stdout = sys.stdout, Interrupting()
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            bash.run("echo begun; exec sleep 1000")
    finally:
        sys.stdout = stdout
    frames = inspect.getinnerframes(caught.tb)
    process = next(frame.frame.f_locals["process"] for frame in frames if frame.function == "run_script")
    assert process.returncode == -signal.SIGTERM


def test_a_missing_bash_is_reported(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Exception, match="no bash in PATH; install it"):
        bash.run("ls")


PASTED = [
    ("python -c \"print('$url')\"", "python", 'os.environ["url"]'),
    ('/usr/bin/python3.11 -u -c "\n\nprint(\\"$url\\")"', "python", 'os.environ["url"]'),
    ("cat x | perl -ne \"print if m'${url}'\"", "perl", "$ENV{url}"),
    ('awk "{ print \\"$url\\" }" x', "awk", 'ENVIRON["url"]'),
    ("node -e \"f('$url')\"", "node", "process.env.url"),
    ("x=$(sh -c \"ls '$url'\")", "sh", '"$url"'),
]
NOT_PASTED = [
    'python -c "print($day)"',  # a number
    "python -c 'print(1)' \"$url\"",
    'python -c "$url"',
    'python "it\'s $url"',
    "python -m json.tool \"'$url'\"",
    "awk -v x=\"it's $url\" '{ print x }'",
    "awk '{ print \"$url\" }'",
    "curl \"https://x/python -c '$url'\"",
    "python -c \"print('\\$url')\"",
    "python -c \"print('$other')\"",
    "url=x; python -c \"print('$url')\"",
    'echo "it\'s sh" "$url"',
]


@pytest.mark.parametrize(("body", "program", "instead"), PASTED)
def test_a_value_in_a_text_of_another_language_causes_a_warning(body, program, instead):
    (found,) = operators.body_warnings(f"ls\n{body}", TaskOptions(operator="bash"), {"url", "day"})
    assert found[1] == f"bash pastes $url into the code of {program}, where a quote in the value ends the text"
    assert found[2] == f"write the code in single quotes, with {instead} for the value"
    assert found[0] == 2 + body.count("\n", 0, body.rindex("url"))


@pytest.mark.parametrize("body", NOT_PASTED)
def test_other_code_causes_no_warning(body):
    assert not list(operators.body_warnings(body, TaskOptions(operator="bash"), {"url", "day"}))
