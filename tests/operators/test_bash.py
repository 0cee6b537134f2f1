import ast
import inspect
import signal
import sys
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbdag import operators
from nbdag.core.options.options import TaskOptions
from nbdag.errors import Skip
from nbdag.operators import OperatorError, bash
from nbdag.operators.bash import ScriptError


def source(body, *out):
    return operators.source(body, TaskOptions(operator="bash", out=out))


def script(body, **names):
    """What bash would be given."""
    return bash.assemble(eval(piece, names) for piece in bash.script_pieces(body, set(names)))[0]


EXPANDED = [
    ("echo {x}", "echo 3"),
    ("echo {x}{x} {y[0]} {y[1]:>4}", "echo 33 a '   b'"),
    ("echo {y[0]!r}", """echo ''"'"'a'"'"''"""),
    ('echo {d["k"]} {len(y)}', "echo v 2"),
    ("echo {x + 1} {x:.2f}", "echo 4 3.00"),
    ("echo {{x}}", "echo {x}"),
    ("echo $x ${x} ${x:-{x}}", "echo $x ${x} ${x:-3}"),
    ("echo {a,b} {1..3} {a..z} {}", "echo {a,b} {1..3} {a..z} {}"),
    ("awk '{print $1}' f", "awk '{print $1}' f"),
    ("f() { echo hi; }\nf", "f() { echo hi; }\nf"),
    ("curl -d '{\"a\": 1}'", "curl -d '{\"a\": 1}'"),
    ("find . -exec rm {} \\;", "find . -exec rm {} \\;"),
    ("echo \\{x}", "echo \\{x}"),
    ('printf \'a\\n\\t%s\' "q" """', 'printf \'a\\n\\t%s\' "q" """'),
    ("line one\nline {x}\n\nlast", "line one\nline 3\n\nlast"),
    ("awk '{print}' f; jq '{foo}'; {missing} {x + missing} {sorted}", None),
    ("# it's {x}\necho {x} # {x}", "# it's {x}\necho 3 # {x}"),
    ("{sum(i for i in z)} {dag_run}", "6 today"),
    ("", ""),
]


@pytest.mark.parametrize(("body", "expected"), EXPANDED)
def test_known_names_in_braces_are_replaced_and_others_kept(body, expected):
    names = {"x": 3, "y": ["a", "b"], "d": {"k": "v"}, "z": [1, 2, 3], "dag_run": "today"}
    assert script(body, **names) == (body if expected is None else expected)


NASTY = [
    "a; echo INJECTED",
    "$(echo no) `echo no` $HOME",
    'it\'s "quoted" \\ twice  ',
    "two\nlines",
    "*",
    "",
    "#",
    "{x}",
]
PLACES = [
    "printf %s {x}", 'printf %s "{x}"', "printf %s '{x}'", "printf %s a{x}b", "printf %s \"$(printf %s {x})\"",
    "cat <<END\n{x}\nEND", "cat <<'END'\n{x}\nEND", "true # it's\nprintf %s {x}", 'printf %s "a \'{x}\' b"',
    'printf %s "$x"',
    "cat <<-END | tr -d '\\t'\n\t{x}\n\tEND\n",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("value", NASTY)
def test_a_value_is_quoted_as_text_at_every_position(place, value, capfd):
    names = {"x": value}
    said = bash.run(*(eval(piece, names) for piece in bash.script_pieces(place, set(names))))
    around = {PLACES[3]: f"a{value}b", PLACES[8]: f"a '{value}' b"}
    assert said == around.get(place, value).rstrip("\n")


VARIABLES = [
    ("echo $x ${x%a}", {"x"}),
    ("echo '$x' \\$x $$x # $x", set()),
    ("x=1; echo $x", set()),
    ("for x in a b; do echo $x; done", set()),
    ("while read -r x; do echo $x; done < f", set()),
    ('echo $PATH $missing "$y"', {"y"}),
]


@pytest.mark.parametrize(("body", "expected"), VARIABLES)
def test_a_variable_is_exported_if_only_a_cell_sets_it(body, expected):
    names = {"x": 1, "y": 2, "PATH": "no"}
    text, variables = bash.assemble(eval(piece, names) for piece in bash.script_pieces(body, set(names)))
    assert (text, set(variables)) == (body, expected)


def test_a_misspelt_name_in_braces_causes_a_warning():
    found = list(operators.body_warnings("ls\ncat {nmae} {other}", TaskOptions(operator="bash"), {"name"}))
    assert found == [(2, "no cell sets nmae, so {nmae} is passed to the shell unchanged", "did you mean name?")]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_script_makes_python_with_a_line_for_each_of_its_lines(body):
    made = source(body)
    ast.parse(made)
    assert made.count("\n") == body.count("\n")


@given(st.text(st.characters(exclude_characters="{}", exclude_categories=["Cs"])))
def test_a_script_without_braces_reaches_the_shell_as_it_is(body):
    assert script(body) == body


def test_an_unknown_name_is_an_error_at_its_line():
    code = compile(source("echo one\necho two\necho {missing}"), "cell", "exec")
    with pytest.raises(NameError) as caught:
        exec(code, {})
    assert traceback.extract_tb(caught.value.__traceback__)[-1].lineno == 3
    names = [node for node in ast.walk(ast.parse(source("echo one\necho {missing}"))) if isinstance(node, ast.Name)]
    assert ("missing", 2) in [(node.id, node.lineno) for node in names]


def test_output_of_a_script_keeps_its_stream(capfd):
    exec(source("echo out {x}\necho err >&2\nprintf 'é'"), {"x": 3})
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
    process = next(frame.frame.f_locals["process"] for frame in frames if frame.function == "run")
    assert process.returncode == -signal.SIGTERM


def test_a_missing_bash_is_reported(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Exception, match="no bash in PATH; install it"):
        bash.run("ls")
