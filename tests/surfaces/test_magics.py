"""Tests that a tagged cell behaves like an ordinary one, in a real kernel."""

import os
import re
import sys
from itertools import count
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from kernel import Kernel

_fresh = count()


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernel")
    env = {**os.environ, "IPYTHONDIR": str(folder / "ipython"), "NBDAG_HOME": str(folder / ".nbdag")}
    env.pop("JPY_SESSION_NAME", None)
    kernel = Kernel(cwd=str(folder), env=env)
    try:
        assert kernel.run("%load_ext nbdag").status == "ok"
        kernel.folder = folder
        yield kernel
    finally:
        kernel.stop()


def fresh(name="t"):
    return f"{name}_{next(_fresh)}"


# -- as if the header were not there -----------------------------------------------------------------------------------

HEADERS = [
    "%%task NAME",
    "%task NAME",
    "%%setup",
    "%%params",
    "%%skip",
    "%%task NAME --retries 2  # twice",
    "\n%%task NAME",
]


@pytest.mark.parametrize("header", HEADERS)
def test_the_value_of_the_last_expression_is_displayed(kernel, header):
    reply = kernel.run(header.replace("NAME", fresh()) + "\nx = 20\nx + 1")
    assert (reply.status, reply.result, reply.stdout) == ("ok", "21", "")


@pytest.mark.parametrize("last", ["x = 3", "x = 3\nx;", "None", ""])
def test_a_header_does_not_change_which_values_are_displayed(kernel, last):
    assert kernel.run(f"%%task {fresh()}\n{last}").result is None


@pytest.mark.parametrize("header", ["%%task NAME", "%%task NAME --check True", "%%task NAME --when True", "%%setup"])
def test_a_traceback_shows_the_users_lines_with_their_numbers(kernel, header):
    reply = kernel.run(header.replace("NAME", fresh()) + "\nx = 1\n\ny = x / 0\nz = 1")
    assert reply.content["ename"] == "ZeroDivisionError"
    assert re.search(r"Cell In\[\d+\], line 4", reply.traceback)
    assert "----> 4 y = x / 0" in reply.traceback
    assert not re.search("nbdag|get_ipython", reply.traceback)


def lines_shown(reply):
    """Return the numbered lines of the failed cell, without their marks."""
    return re.findall(r"^[-> ]*(\d+ .*)$", reply.traceback, re.MULTILINE)


def test_a_traceback_shows_the_header_as_the_user_wrote_it(kernel):
    name = fresh()
    assert lines_shown(kernel.run(f"%%task {name}  # once\n\nx = (1 +\n  2 / 0)")) == [
        f"1 %%task {name}  # once", "2 ", "3 x = (1 +", "4   2 / 0)",
    ]  # fmt: skip
    assert lines_shown(kernel.run("%setup\n1 / 0")) == ["1 %setup", "2 1 / 0"]
    reply = kernel.run(f"%%task {name} \\\n  --retries 2 \\\n  --pool gpu\nx = 1\ny = 1 / 0")
    assert lines_shown(reply) == [
        f"1 %%task {name} \\", "2   --retries 2 \\", "3   --pool gpu", "4 x = 1", "5 y = 1 / 0",
    ]  # fmt: skip
    coloured = "\n".join(reply.of("error")[0]["traceback"]).splitlines()
    assert (
        next(line for line in coloured if "----> " in line)
        == "\x1b[32m----> \x1b[39m\x1b[32m5\x1b[39m y = \x1b[32m1\x1b[39m / \x1b[32m0\x1b[39m"
    )


def test_a_traceback_through_a_function_of_another_cell_shows_both(kernel):
    kernel.run(f"%%task {fresh()}\n\ndef shared(n):\n    return 1 / n")
    reply = kernel.run("%%skip\nshared(0)")
    assert lines_shown(reply) == ["1 %%skip", "2 shared(0)", "3 def shared(n):", "4     return 1 / n"]


def test_a_header_does_not_change_the_traceback_of_a_cell_magic(kernel):
    bare, below = (kernel.run(f"{header}%%time\nx = 1\n1 / 0") for header in ("", f"%%task {fresh()}\n"))
    told = [re.sub(r"In\[\d+\]", "In", reply.traceback) for reply in (bare, below)]
    assert "line 2\n" in told[1]
    assert told[1].partition("get_ipython")[2] == told[0].partition("get_ipython")[2]


def test_a_syntax_error_is_reported_with_its_line(kernel):
    reply = kernel.run(f"%%task {fresh()}\nx = 1\nif x\n    y = 2")
    assert reply.content["ename"] == "SyntaxError"
    assert re.search(r"line 3\b", reply.traceback)


ORDINARY = {
    "await": ("import asyncio\nawait asyncio.sleep(0, 'slept')", "'slept'", ""),
    "async for": ("async def f():\n    yield 7\n[x async for x in f()]", "[7]", ""),
    "%time": ("%time 1 + 1", "2", "Wall time"),
    "%%time": ("%%time\n40 + 2", "42", "Wall time"),
    "%%capture": ("%%capture got\nprint('hidden')", None, ""),
    "!": ("name = 'world'\n!echo hello {name}", None, "hello world"),
    "files = !": ("files = !echo a\nfiles[0]", "'a'", ""),
    "a comment first": ("# why\n5", "5", ""),
    "annotations": ("from __future__ import annotations\ndef g(x: nowhere): return 1\ng(1)", "1", ""),
    "a class": ("class A:\n    def f(self): return 9\nA().f()", "9", ""),
}


@pytest.mark.parametrize("options", ["", "--when True", "--check True", "--when True --check True"])
@pytest.mark.parametrize("case", ORDINARY)
def test_ipython_syntax_works_below_a_header(kernel, case, options):
    code, result, stdout = ORDINARY[case]
    reply = kernel.run(f"%%task {fresh()} {options}\n{code}")
    assert reply.status == "ok", reply.traceback + reply.stderr
    assert reply.result == result
    assert stdout in reply.stdout


def test_a_tagged_cell_runs_in_the_notebooks_namespace(kernel):
    name = fresh("made")
    kernel.run(f"%%task {fresh()} --check True\n{name} = [1]")
    kernel.run(f"%%task {fresh()}\n{name}.append(2)")
    assert kernel.value(name) == "[1, 2]"


def test_a_question_mark_shows_help_below_a_header(kernel):
    reply = kernel.run(f"%%task {fresh()}\nlen?")
    assert "Return the number of items" in reply.content["payload"][0]["data"]["text/plain"]


def test_braces_and_dollars_in_a_header_are_not_expanded(kernel):
    kernel.run("y = 3")
    assert kernel.run(f"%%task {fresh()} --check 'y == 3 and {{y}} == {{3}}' --doc 'costs $y'\n1").status == "ok"


def test_the_history_contains_cells_as_typed(kernel):
    source = f"%%task {fresh()}\nx = 1"
    kernel.run(source)
    assert kernel.value("get_ipython().history_manager.input_hist_raw[-1]") == repr(source)


def debug(kernel, command, **arguments):
    return kernel.control("debug_request", {"type": "request", "seq": 1, "command": command, "arguments": arguments})


@pytest.mark.slow
@pytest.mark.skipif(sys.gettrace() is not None, reason="a debugger is at work already")
def test_the_debugger_stops_at_a_breakpoint_and_shows_variables(kernel):
    """The requests are those of JupyterLab, which asks for the file of a cell's source and sets breakpoints by line."""
    source = f"%%task {fresh()} --check 'b == 2'\na = 1\nb = a + 1\nb"
    told = {
        "clientID": "test",
        "adapterID": "test",
        "pathFormat": "path",
        "linesStartAt1": True,
        "columnsStartAt1": True,
    }
    assert debug(kernel, "initialize", **told)["success"]
    assert debug(kernel, "attach")["success"]
    try:
        path = debug(kernel, "dumpCell", code=source)["body"]["sourcePath"]
        points = debug(kernel, "setBreakpoints", source={"path": path}, breakpoints=[{"line": 3}], lines=[3])
        assert [(point["verified"], point["line"]) for point in points["body"]["breakpoints"]] == [(True, 3)]
        debug(kernel, "configurationDone")
        kernel.start(source)
        thread = kernel.await_debugger("stopped")["body"]["threadId"]
        frame = debug(kernel, "stackTrace", threadId=thread)["body"]["stackFrames"][0]
        assert (frame["line"], frame["source"]["path"]) == (3, path)
        assert debug(kernel, "evaluate", expression="a", frameId=frame["id"], context="hover")["body"]["result"] == "1"
        debug(kernel, "continue", threadId=thread)
        assert kernel.finish().result == "2"
    finally:
        debug(kernel, "disconnect", restart=False, terminateDebuggee=False)


# -- wrong headers -----------------------------------------------------------------------------------------------------

WRONG = [
    ("%%task t --retires 2", "unknown option --retires; did you mean --retries?"),
    ("%%task", "the task has no name; write %%task NAME --option …"),
    ("%%task 1st", "'1st' is not a valid name"),
    ("%%task t --retries many", "--retries many"),
    ("%%setup now", "unexpected 'now'"),
    ("%%task t --check 'x >'", "is not a Python expression"),
    ("%%task t --doc 'open", "the quote ' is not closed"),
    ("%%task t --operator bsh", "did you mean bash?"),
]


@pytest.mark.parametrize(("header", "sentence"), WRONG)
def test_an_invalid_header_is_reported_in_one_sentence_and_its_cell_does_not_run(kernel, header, sentence):
    name = fresh("never")
    reply = kernel.run(f"{header}\n{name} = 1")
    assert reply.status == "error"
    assert sentence in reply.stderr
    assert reply.stderr.startswith("UsageError: ")
    assert reply.stderr.count("\n") == 1
    assert not reply.of("error")
    assert kernel.value(f"'{name}' in globals()") == "False"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("%dag --shedule @daily", "did you mean --schedule?"),
        ("%dag x --schedule '61 * * * *'", "write values from 0 to 59"),
        ("%edges a >>", "an edge needs a task on both sides"),
        ("%%dag x --retires 2\n1", "did you mean --retries?"),
        ("%%edges a >> b\n1", "is not a cell magic"),
        ("%nbdag chek x.ipynb", "check"),
        ("%nbdag check nosuch.ipynb", "nosuch.ipynb does not exist"),
        ("%nbdag 'x", "no closing quotation"),
    ],
)
def test_an_invalid_line_magic_is_reported_in_one_sentence(kernel, line, sentence):
    reply = kernel.run(line)
    assert reply.status == "error"
    assert sentence in reply.stderr
    assert reply.stderr.count("\n") == 1, reply.stderr


# -- what the options do -----------------------------------------------------------------------------------------------


def test_a_false_when_skips_the_cell_with_a_message(kernel):
    name = fresh("never")
    reply = kernel.run(f"%%task {fresh()} --when 'limit > 3'\n{name} = 1")
    assert "cannot evaluate --when limit > 3 (NameError: name 'limit' is not defined)" in reply.stderr
    kernel.run("limit = 1")
    reply = kernel.run(f"%%task {fresh()} --when 'limit > 3'\n{name} = 1\n{name}")
    assert (reply.status, reply.stdout, reply.result) == ("ok", "skipped: --when limit > 3 is false\n", None)
    assert kernel.value(f"'{name}' in globals()") == "False"


def test_a_failed_check_shows_the_result_and_the_values(kernel):
    reply = kernel.run(f"%%task {fresh()} --check 'accuracy >= 0.9'\naccuracy = 0.62\naccuracy")
    assert reply.status == "error"
    assert reply.result == "0.62"
    assert reply.traceback == "Fail: --check accuracy >= 0.9 is false, with accuracy = 0.62"


def test_skip_ends_a_cell_without_an_error(kernel):
    reply = kernel.run(f"%%task {fresh()}\nimport nbdag\nprint(1)\nraise nbdag.Skip('no new files')\nprint(2)")
    assert (reply.status, reply.stdout) == ("ok", "1\nskipped: no new files\n")


def test_a_mapped_task_runs_once_per_element_and_collects_lists(kernel):
    reply = kernel.run(f"%%task {fresh()} --map n=[1,2,3]\nsquare = n * n\nprint(n)\nsquare")
    assert reply.status == "ok", reply.traceback
    assert reply.stdout == "1\n2\n3\n"
    assert [out["data"]["text/plain"] for out in reply.of("execute_result")] == ["1", "4", "9"]
    assert kernel.value("square") == "[1, 4, 9]"
    assert kernel.value("'n' in globals()") == "False"


def test_several_maps_form_a_product_and_zip_pairs_them(kernel):
    kernel.run(f"%%task {fresh()} --map a=[1,2] --map b=list('xy')\npair = f'{{a}}{{b}}'")
    assert kernel.value("pair") == "['1x', '1y', '2x', '2y']"
    kernel.run(f"%%task {fresh()} --map a=[1,2] --map b=list('xy') --zip\nstep = f'{{a}}{{b}}'")
    assert kernel.value("step") == "['1x', '2y']"


def test_the_maps_of_a_task_in_step_are_pairs(kernel):
    load, clean = fresh(), fresh()
    kernel.run(f"%%task {load} --map n=[1,2]\nrows = n * 10")
    kernel.run(f"%%task {clean} --map rows=rows n=[1,2] --in-step {load}\ntidy = rows + n")
    assert kernel.value("(tidy, rows)") == "([11, 22], [10, 20])"


def test_each_element_starts_with_the_values_from_before_the_cell(kernel):
    kernel.run("total = 10\nseen = [0]")
    kernel.run(f"%%task {fresh()} --map n=[1,2]\ntotal += n\nseen.append(n)")
    assert kernel.value("total") == "[11, 12]"
    assert kernel.value("seen") == "[[0, 1], [0, 2]]"


def test_definitions_in_a_mapped_task_are_not_collected_into_lists(kernel):
    kernel.run(f"%%task {fresh()} --map n=[1,2]\nimport math\ndef twice(x): return 2 * x\nroot = math.sqrt(twice(n))")
    assert kernel.value("(twice(4), callable(math.sqrt), len(root))") == "(8, True, 2)"


def test_elements_with_a_false_when_are_skipped(kernel):
    kernel.run(f"%%task {fresh()} --map n=[1,2,3] --when 'n != 2'\nodd = n")
    assert kernel.value("odd") == "[1, 3]"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--map n=7", "cannot evaluate --map n=7: TypeError: 'int' object is not iterable"),
        ("--map a=[1] --map b=[1,2] --zip", "--zip needs maps of equal length, but a has 1, b has 2"),
        ("--map n='range(2000)'", "--map makes 2,000 instances, more than the limit of 1,024"),
    ],
)
def test_an_invalid_map_is_reported_in_one_sentence(kernel, options, sentence):
    reply = kernel.run(f"%%task {fresh()} {options}\n1")
    assert reply.status == "error"
    assert reply.traceback.startswith(f"Fail: {sentence}")
    assert "\n" not in reply.traceback


def test_a_mapped_task_without_elements_is_skipped(kernel):
    reply = kernel.run(f"%%task {fresh()} --map n=[]\nprint('never')")
    assert reply.stdout == "skipped: --map n=[] has no element\n"


def test_an_error_in_a_mapped_task_is_reported_with_its_line(kernel):
    reply = kernel.run(f"%%task {fresh()} --map n=[1,0]\nx = 1\ny = x / n")
    assert "----> 3 y = x / n" in reply.traceback


@pytest.mark.slow
def test_the_cell_of_an_operator_runs_with_that_operator(kernel):
    kernel.run("who = 'bash'")
    reply = kernel.run(f"%%task {fresh()} --operator bash\necho hello from $who")
    assert reply.status == "ok", reply.traceback + reply.stderr
    assert "hello from bash" in reply.stdout
    reply = kernel.run(f"%%task {fresh()} --operator bash --map n=[1,2]\necho $who-$n {{who}}")
    assert reply.stdout == "bash-1 {who}\nbash-2 {who}\n"
    assert 'line 1 below the header: bash does not replace {who}; write "$who"' in reply.stderr
    kernel.run("import pandas as pd\nframe = pd.DataFrame({'a': [1, 2, 3]})")
    reply = kernel.run(
        f"%%task {fresh()} --operator sql --out big\nSELECT max(a) AS most FROM frame WHERE a < :highest_a"
    )
    assert "NameError: name 'highest_a' is not defined" in reply.traceback
    kernel.run("highest_a = 3")
    kernel.run(f"%%task {fresh()} --operator sql --out big\nSELECT max(a) AS most FROM frame WHERE a < :highest_a")
    assert kernel.value("int(big['most'][0])") == "2"


@pytest.mark.slow
def test_options_of_dag_are_defaults_for_the_tasks(kernel):
    try:
        kernel.run("%dag churn --check 'good'")
        kernel.run("good = False")
        assert kernel.run(f"%%task {fresh()}\n1").status == "error"
    finally:
        reply = kernel.run("%dag churn --owner ml --requires click==1.0")
    assert reply.status == "ok"
    assert "warning: this kernel has click " in reply.stderr
    assert "but headless runs use click==1.0; install the same packages here" in reply.stderr
    assert kernel.run(f"%%task {fresh()}\n1").status == "ok"


def test_dag_run_is_defined_in_the_notebook(kernel):
    assert kernel.value("dag_run.run_id") == "'interactive'"


@pytest.mark.slow
def test_the_nbdag_magic_calls_the_command_line(kernel):
    reply = kernel.run("%nbdag --help")
    assert reply.status == "ok"
    assert "check" in reply.stdout
    assert "Usage: %nbdag" in reply.stdout


# -- Tab and help ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "offered", "replaced"),
    [
        ("%%task t --retr", {"--retries", "--retry-delay", "--retry-backoff", "--retry-on", "--retry-if"}, "--retr"),
        ("%task t --trigger all_d", {"all_done", "all_done_min_one_success", "all_done_setup_success"}, "all_d"),
        ("%dag x --schedule @da", {"@daily"}, "@da"),
        ("%%task t --operator ba", {"bash"}, "ba"),
        ("%%task t --operator http --tri", {"--tries", "--trigger"}, "--tri"),
        ("%%task t --after known_ta", {"known_task"}, "known_ta"),
        ("%edges known_task >> other_kn", {"other_known"}, "other_kn"),
        ("%%task t --after known_task\nimport keyword\nkeyword.iskeyw", {"iskeyword"}, "iskeyw"),
        ("%%task t\nunfinis", {"unfinished_name"}, "unfinis"),
        ("%%setup\nunfinis", {"unfinished_name"}, "unfinis"),
        ("%%tas", {"%%task"}, "%%tas"),
        ("%nbdag chec", {"check"}, "chec"),
        ("%nbdag run --dry", {"--dry-run"}, "--dry"),
    ],
)
def test_completion_offers_options_values_and_tasks(kernel, code, offered, replaced):
    kernel.run("%%task known_task\nk = 1", cell="known")
    kernel.run("%%task other_known\nk = 1", cell="other")
    kernel.run("unfinished_name = 1")
    matches, start, end = kernel.complete(code)
    assert offered <= set(matches)
    assert code[start:end] == replaced
    if code.startswith(("%%task t --retr", "%edges")):
        assert offered == set(matches), "nothing else belongs there"


def test_completion_works_in_the_first_line_of_a_longer_cell(kernel):
    code = "%%task t --retr\nx = 1\nprint(x)"
    matches, start, end = kernel.complete(code, len("%%task t --retr"))
    assert "--retries" in matches
    assert code[start:end] == "--retr"


@pytest.mark.parametrize(
    "asked", ["%%task?", "%task?", "%dag?", "%%setup?", "%%params?", "%%skip?", "%edges?", "%nbdag?"]
)
def test_help_shows_examples(kernel, asked):
    reply = kernel.run(asked)
    text = reply.content["payload"][0]["data"]["text/plain"]
    assert asked.strip("%?") in text
    if "task" in asked:
        assert '%%task validate --check "accuracy >= 0.9"' in text
        assert "--retry-delay" in text
        assert "headless" in text
        assert "Operator http" in text
        assert "--longest-wait" in text


def test_inspection_of_a_magic_shows_its_help(kernel):
    assert "--retry-delay" in kernel.inspect("%%task train", 4)


# -- %load_ext ---------------------------------------------------------------------------------------------------------


def test_the_extension_can_be_loaded_twice_and_unloaded(kernel):
    kernel.run("%load_ext nbdag")
    kernel.run("%reload_ext nbdag")
    assert kernel.run(f"%%task {fresh()}\n7").result == "7"
    hung = "+".join(
        f"get_ipython().{place}"
        for place in ("input_transformers_cleanup", "ast_transformers", "Completer.custom_matchers")
    )
    counted = f"sum('nbdag' in str(each) + getattr(each, '__module__', '') for each in {hung})"
    assert kernel.value(counted) == "3"
    kernel.run("%unload_ext nbdag")
    assert kernel.value(counted) == "0"
    assert "not found" in kernel.run(f"%%task {fresh()}\n7").stderr
    assert kernel.run("%load_ext nbdag").status == "ok"
    assert kernel.run(f"%%task {fresh()}\n7").result == "7"
