"""Rendered templates are kept with each attempt, in real kernels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import nbdag
from nbdag import runs
from nbdag.cli import main
from nbdag.frontend.history import History
from nbdag.home import Home


@pytest.mark.slow
def test_rendered_texts_are_kept_with_masked_secrets(
    write: Callable[..., Path], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NBDAG_HOME", str(home.root))
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", "postgresql://ana:correct-horse@lake.example/db")
    monkeypatch.setenv("AIRFLOW_VAR_BUCKET", "s3://lake")
    path = write(
        "%%params\nregion: str = 'EU'",
        "%%setup\ndef say(text, where): return text\ndef fail(text): raise ValueError(text)",
        "%%task one\nx = 5",
        "%%dag d\n"
        "Python('say', say, '{{ ds }} {{ params.region }} {{ ti.xcom_pull(\"one\") }}', "
        "where=['{{ var.value.bucket }}', '{{ conn.lake.host }} {{ conn.lake.password }}'])\n"
        "Python('fail', fail, 'day {{ ds_nodash }}')",
        "%%task load --operator bash\necho \"{{ params.region }}\" {{ ti.xcom_pull('one') }} > /dev/null",
    )
    run = nbdag.run(path, parameters={"region": "a $(b) c"}, home=home)
    assert {task.id: task.state.value for task in run} == {
        "one": "success",
        "say": "success",
        "fail": "failed",
        "load": "success",
    }, run.error
    day = runs.rendered(run, "say", home=home)["argument 1"][:10]
    assert runs.rendered(run, "say", home=home) == {
        "argument 1": f"{day} a $(b) c 5",
        "argument where[0]": "s3://lake",
        "argument where[1]": "lake.example ***",
    }
    assert runs.rendered(run, "fail", home=home) == {"argument 1": f"day {day.replace('-', '')}"}
    assert runs.rendered(run, "one", home=home) == {}
    assert runs.rendered(run, "load", home=home) == {"the script": 'echo "a $(b) c" 5 > /dev/null'}
    shown = CliRunner().invoke(main, ["logs", "fail", "--rendered"])
    assert shown.output == f"# argument 1\nday {day.replace('-', '')}\n", shown.output
    assert "has rendered no template" in CliRunner().invoke(main, ["logs", "one", "--rendered"]).output
    message = History(home, "d").attempt(run.id, "fail", -1, 1)
    assert message["rendered"] == [["argument 1", f"day {day.replace('-', '')}"]]
