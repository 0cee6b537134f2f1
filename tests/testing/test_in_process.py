"""The executor that runs attempts as threads of this process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from patience import LONG

TRACED_LATER = """
import cProfile, queue, sys
from nbdag.core.model.dag import Task
from nbdag.core.model.job import Job, Key
from nbdag.core.options.options import TaskOptions
from nbdag.testing import InProcessExecutor

folder, code, timeout = sys.argv[1], sys.argv[2], float(sys.argv[3])
task = Task(id="t", cell=0, options=TaskOptions(timeout=timeout), code=code)
job = Job(
    key=Key(dag="d", run="r", task="t"), task=task, path=f"{folder}/1.ipynb", values=f"{folder}/values", cwd=folder,
    kernel_name="python3",
)
results = queue.SimpleQueue()
executor = InProcessExecutor()
executor.start(results.put)
executor.submit(job)
print(results.get().error)
executor.stop()

def called():
    return 1

with cProfile.Profile():
    print(called())
"""


@pytest.mark.parametrize(
    ("code", "timeout", "error"),
    [("x = 1", 1e6, "None"), ("while True: pass", 0.1, "timed out after 0.1 s")],
    ids=["ended", "interrupted"],
)
def test_code_can_be_profiled_after_an_attempt(code: str, timeout: float, error: str, tmp_path: Path) -> None:
    # Without an end, signals are not handled either: only another process can notice it.
    command = [sys.executable, "-c", TRACED_LATER, str(tmp_path), code, str(timeout)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG, check=False)
    assert (done.stdout.splitlines(), done.stderr) == ([error, "1"], "")
