"""The results of the example notebooks, which must not depend on how an example is run."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

# The results of each example: names whose values must not depend on how it is run.
RESULTS = {
    "ml_pipeline": ("winner", "accuracy", "agreement", "note"),
    "etl": ("loaded", "strange", "twice", "rejected_share", "summary"),
    "quickstart": ("ridge_error", "boosted_error", "best_model", "best_error"),
    "tuning": ("best",),
    "hyperparameters": ("best_setting", "best_score", "accuracy"),
    "scheduling": ("longest",),
    "operators": ("orders", "totals", "loaded", "count", "files", "confirmed", "price"),
    "validation_gate": ("summary", "accuracy"),
    "secrets": ("revenue", "signature"),
    "cluster": ("average",),
    "from_airflow": ("everything_result", "report_result"),
}

# Parameters of an example's headless run; its results must not depend on them.
PARAMETERS = {"ml_pipeline": {"output_dir": "models"}}


def printing(names: Iterable[str]) -> str:
    """Return code that prints the reprs of these names."""
    return "\n".join(f"print('@@', {name!r}, repr({name}).replace(chr(10), ' '))" for name in names)


def printed(outputs: Iterable[Any]) -> dict[str, str]:
    """Return the reprs that a cell has printed, by name."""
    return printed_in(
        "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    )


def printed_in(text: str) -> dict[str, str]:
    """Return the reprs in a text, by name."""
    return dict(re.findall(r"^@@ (\w+) (.*)$", text, re.M))
