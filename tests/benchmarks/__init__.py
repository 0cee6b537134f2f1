"""Benchmarks of nbdag and comparable tools. Run them with `python -m tests.benchmarks`; pytest skips them."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "support"))  # as pytest does, for `patience`
