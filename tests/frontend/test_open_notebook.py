"""The open notebook of a page: analysis, tags, and headers as forms. Nothing is executed."""

from __future__ import annotations

import json
from itertools import count

import pytest

from nbdag.core.cells.header import parse
from nbdag.frontend.notebooks import analysis, headers
from nbdag.frontend.notebooks.analysis import analyze, open_task, tag
from nbdag.frontend.notebooks.headers import complete_header, format_header, option_table, parse_header

IDS = count()


def cell(source, *, type="code", tags=(), **execution):
    found = {"id": f"c{next(IDS)}", "type": type, "source": source, "tags": list(tags)}
    if execution:
        found["execution"] = {
            "source": source,
            "duration": 0.5,
            "reason": "",
            "changed": execution["order"],
            **execution,
        }
    return found


def request(*cells, **more):
    return {"path": "work/churn.ipynb", "language": "python", "cells": list(cells), **more}


def edited(source, edit):
    return edit["text"] + "\n".join(source.split("\n")[edit["lines"] :])


PIPELINE = (
    cell("# Churn", type="markdown"),
    cell("import os"),
    cell("%%task extract\nrows = [1]", order=1, state="success"),
    cell("%%task train\nmodel = sum(rows)", order=2, state="success"),
    cell("print(model)"),
)


class TestAnalysis:
    def test_gives_each_cell_its_role_its_task_and_its_place_in_the_order(self):
        found = analyze(request(*PIPELINE))
        assert [(each["role"], each["task"], each["order"]) for each in found["cells"]] == [
            ("prose", "", 0),
            ("setup", "", 0),
            ("task", "extract", 1),
            ("task", "train", 2),
            ("scratch", "", 0),
        ]
        assert found["dag"] == "churn"
        assert [each["ignored"] for each in found["cells"]] == [False, False, False, False, True]
        assert found["picture"]["order"] == ["extract", "train"]

    def test_draws_the_tasks_that_an_execution_of_a_dag_cell_has_built(self):
        builder = "%%dag made\nfor n in (1, 2): Python(f'fit_{n}', f'm{n} = sum(X) * {n}')"
        built = [{"source": f"%%task fit_{n}\nm{n} = sum(X) * {n}", "line": 2} for n in (1, 2)]
        extract = cell("%%task extract\nX = [1]")
        found = analyze(request(extract, cell(builder, order=1, state="success", built=built), cell("print(m1)")))
        assert found["picture"]["order"] == ["extract", "fit_1", "fit_2"]
        assert [each["role"] for each in found["cells"]] == ["task", "builder", "scratch"]
        assert not [each for each in found["problems"] if each["code"] == "NB115"]
        edited = cell(builder, order=1, state="success", built=built) | {"source": builder.replace("2", "3")}
        assert analyze(request(extract, edited))["picture"]["order"] == ["extract"], "the edited cell builds others"

    def test_follows_the_executions_of_the_page(self):
        assert {task: each["state"] for task, each in analyze(request(*PIPELINE))["statuses"].items()} == {
            "extract": "success",
            "train": "success",
        }
        again = [*PIPELINE[:2], cell("%%task extract\nrows = [1]", order=3, state="success"), *PIPELINE[3:]]
        stale = analyze(request(*again))["statuses"]["train"]
        assert stale["state"] == "stale"
        assert stale["reason"] == "extract ran again after this task"

    def test_shows_a_task_as_stale_as_soon_as_its_text_is_edited(self):
        changed = {**PIPELINE[3], "source": "%%task train\nmodel = max(rows)"}
        found = analyze(request(*PIPELINE[:3], changed))
        assert found["statuses"]["train"]["reason"] == "the cell was edited after it ran"

    def test_reports_problems_with_their_cell_and_line(self):
        found = analyze(request(cell("%%task a\nx = 1\ny = missing"), cell("x = 2"), cell("%%task b\nprint(x)")))
        places = {(each["code"], each["severity"], each["cell"], each["line"]) for each in found["problems"]}
        assert ("NB201", "error", 0, 3) in places
        assert ("NB310", "error", 1, 1) in places
        assert set(found["explanations"]) == {each["code"] for each in found["problems"]}
        assert found["explanations"]["NB310"].startswith("NB310 (error): an untagged cell sets or changes a name")
        assert found["cells"][1]["dropped"]

    def test_leaves_out_a_picture_that_the_page_has(self):
        first = analyze(request(*PIPELINE))
        assert analyze(request(*PIPELINE, shape=first["shape"]))["picture"] is None
        other = analyze(request(*PIPELINE[:3], shape=first["shape"]))
        assert other["picture"]["order"] == ["extract"]

    def test_keeps_the_digest_of_the_picture_while_only_code_changes(self):
        changed = {**PIPELINE[3], "source": "%%task train\nmodel = max(rows)"}
        one, two = analyze(request(*PIPELINE)), analyze(request(*PIPELINE[:3], changed, PIPELINE[4]))
        assert one["shape"] == two["shape"]

    def test_does_not_build_the_tasks_of_a_dag_cell(self, tmp_path):
        proof = tmp_path / "executed"
        found = analyze(request(cell(f"%%dag\nfrom pathlib import Path\nPath({str(proof)!r}).touch()")))
        assert [each["role"] for each in found["cells"]] == ["builder"]
        assert "NB115" in {each["code"] for each in found["problems"]}
        assert not proof.exists()

    def test_is_plain_json_for_any_text(self):
        texts = (
            "",
            "%%task",
            "%%task a b",
            "%%bash\nls",
            "def (",
            "%%task ü\n\x00",
            "%%task a \\\n --retries 2\nx = 1",
        )
        json.dumps(analyze(request(*map(cell, texts))), allow_nan=False)

    def test_describes_a_task_of_the_open_text(self):
        details = open_task({**request(*PIPELINE), "task": "train"})
        assert [each["task"] for each in details["upstream"]] == ["extract"]


class TestTags:
    @pytest.mark.parametrize(
        ("before", "role", "after"),
        [
            ("x = 1", "task", "%%task x\nx = 1"),
            ("x = 1", "setup", "%%setup\nx = 1"),
            ("x = 1", "parameters", "%%params\nx = 1"),
            ("x = 1", "skip", "%%skip\nx = 1"),
            ("%%task a --retries 2\nx = 1", "code", "x = 1"),
            ("%%task a --retries 2\nx = 1", "setup", "%%setup\nx = 1"),
            ("%%task a --retries 2\nx = 1", "task", "%%task a --retries 2\nx = 1"),
            ("%%task a \\\n  --retries 2\nx = 1", "code", "x = 1"),
            ("\n\nx = 1", "task", "%%task x\nx = 1"),
            ("\n%%skip\nx = 1", "task", "%%task x\nx = 1"),
            ("%%bash\nls", "task", "%%task task_1\n%%bash\nls"),
            ("", "task", "%%task task_1\n"),
            ("%%skip", "code", ""),
            ("x = 1", "code", "x = 1"),
        ],
    )
    def test_a_role_becomes_a_header(self, before, role, after):
        edit = tag({"cells": [cell(before)], "index": 0, "role": role})
        assert edited(before, edit) == after

    def test_tags_of_other_tools_that_contradict_the_role_are_removed(self):
        edit = tag({"cells": [cell("x = 1", tags=["skip-execution", "slow"])], "index": 0, "role": "task"})
        assert edit["tags"] == ["slow"]

    def test_the_tag_of_papermill_is_enough_for_parameters(self):
        edit = tag({"cells": [cell("x = 1", tags=["parameters"])], "index": 0, "role": "parameters"})
        assert edit == {"lines": 0, "text": "", "tags": ["parameters"], "name": ""}

    @pytest.mark.parametrize(
        ("above", "source", "name"),
        [
            ("", "# Load the orders of a day\ndf = 1", "load_the_orders"),
            ("## Load orders", "df = 1", "load_orders"),
            ("Some prose.", "df = 1\ntotal: int = 2", "total"),
            ("", "def fit(x):\n    return x", "fit"),
            ("", "print(1)", "task_1"),
            ("", "x = (", "task_1"),
            ("# Übersicht", "taken = 1", "ubersicht"),
            ("", "taken = 1", "taken_1"),
        ],
    )
    def test_the_name_of_a_new_task_comes_from_its_text(self, above, source, name):
        cells = [cell(above, type="markdown"), cell(source), cell("%%task taken\n1")]
        edit = tag({"cells": cells, "index": 1, "role": "task"})
        assert edit["name"] == name
        assert parse(edit["text"].rstrip("\n")).name == name

    def test_a_cell_that_the_notebook_does_not_have_is_an_error(self):
        with pytest.raises(analysis.UnknownCellError):
            tag({"cells": [], "index": 0, "role": "task"})


ROUND_TRIPS = (
    "%%task a",
    "%%task a --after b c --trigger all_done --retries 2 --retry-delay 1m --timeout none --no-cache",
    "%%task a --check 'x > 1' --check 'y == \"a b\"' --when 'x and y' --map p=parts q=[1,2]",
    "%%task a --approve 'Ship {accuracy:.1%}?' --doc 'One sentence.' --produces s3://lake/orders",
    "%%task a --operator bash",
    "%%setup",
    "%%params",
    "%%skip",
)


class TestForms:
    @pytest.mark.parametrize("header", ROUND_TRIPS)
    def test_writing_the_fields_of_a_header_gives_the_same_header(self, header):
        source = f"{header}\nx = 1"
        form = parse_header({"source": source})
        assert form["problems"] == []
        given = {"source": source, "tags": [], "kind": form["kind"], "name": form["name"], "values": form["values"]}
        edit = format_header(given)["edit"]
        assert edit is not None
        written = edited(source, edit)
        assert parse(written.split("\n")[0]) == parse(header)
        assert written.endswith("\nx = 1")

    def test_each_error_names_its_field(self):
        values = {"retries": ["x"], "timeout": ["-1"], "when": ["a +"], "after": [], "pool": ["gpu"]}
        found = format_header({"source": "x", "tags": [], "kind": "task", "name": "a", "values": values})
        assert found["edit"] is None
        assert [each["flag"] for each in found["problems"]] == ["retries", "timeout", "when", "after"]
        assert found["problems"][0]["message"] == "--retries x is not a whole number"

    @pytest.mark.parametrize("name", ["", "a b", "1", "ü"])
    def test_a_wrong_name_is_a_problem_of_the_name(self, name):
        found = format_header({"source": "x", "tags": [], "kind": "task", "name": name, "values": {}})
        assert [each["flag"] for each in found["problems"]] == ["name"]

    def test_the_comment_of_a_header_is_kept(self):
        source = "%%task a --retries 1  # flaky service\nx = 1"
        edit = format_header({"source": source, "tags": [], "kind": "task", "name": "b", "values": {"retries": ["3"]}})
        assert edited(source, edit["edit"]) == "%%task b --retries 3  # flaky service\nx = 1"

    def test_a_header_that_cannot_be_read_keeps_its_name_and_its_errors(self):
        form = parse_header({"source": "%%task a --retires 2 --timeout x\n"})
        assert (form["kind"], form["name"]) == ("task", "a")
        assert [each["message"].split(";")[0] for each in form["problems"]] == [
            "unknown option --retires",
            "--timeout x is not a duration",
        ]

    def test_options_of_an_operator_are_fields_too(self):
        table = option_table()
        email = next(each for each in table["operators"] if each["name"] == "email")
        assert "subject" in [each["flag"] for each in email["options"]]
        source = "%%task tell --operator email --to ann@example.org --subject 'All well'\nHello"
        form = parse_header({"source": source})
        assert form["values"]["subject"] == ["All well"]
        edit = format_header(
            {"source": source, "tags": [], **{each: form[each] for each in ("kind", "name", "values")}}
        )
        assert parse(edit["edit"]["text"].rstrip("\n")) == parse(source.split("\n")[0])

    def test_the_table_has_every_option_with_its_help(self):
        table = option_table()
        assert {each["flag"] for each in table["task"]} == {each.flag for each in headers.OPTIONS["task"]}
        assert all(each["help"] for each in (*table["task"], *table["dag"]))
        assert next(each for each in table["task"] if each["flag"] == "retry-delay")["default"] == "30s"

    @pytest.mark.parametrize(
        ("text", "start", "found"),
        [
            ("%%task a --retr", 9, ["--retries", "--retry-delay", "--retry-backoff", "--retry-on", "--retry-if"]),
            ("%%task a --trigger all_f", 19, ["all_failed"]),
            ("%%task a --after ex", 17, ["extract"]),
            ("%edges ex", 7, ["extract"]),
            ("x = --retr", 4, []),
        ],
    )
    def test_headers_are_completed_at_the_cursor(self, text, start, found):
        answer = complete_header({"text": text, "cursor": len(text), "tasks": ["extract", "train"]})
        assert [each["text"] for each in answer["items"]] == found
        assert answer["start"] == start or not found
