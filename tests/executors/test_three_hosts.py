"""The tests of three hosts, executed in a network namespace.

They add and remove network devices. Chromium cancels its requests whenever a device of its own namespace changes, so
without a separate namespace the tests in a browser, which run at the same time, would fail.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hosts import missing

TESTS = Path(__file__).with_name("three_hosts.py")


@pytest.mark.slow
def test_runs_on_three_hosts_survive_lost_hosts_and_restarts() -> None:
    if lacking := missing():
        pytest.skip(lacking)
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", str(TESTS)]
    script = 'ip link set lo up && exec "$@"'
    ended = subprocess.run(
        ["unshare", "--net", "sh", "-c", script, "sh", *tests], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
