"""What nbdag costs, measured beside its peers. Run it with `python -m tests.benchmarks`; pytest does not."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "support"))  # as pytest does, for `patience`
