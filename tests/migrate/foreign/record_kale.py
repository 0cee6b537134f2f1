"""Record how Kale reads `kale.ipynb`: its steps, their code and the edges.

    uv venv kale && uv pip install --python kale/bin/python kubeflow-kale==2.3.0
    kale/bin/python tests/migrate/foreign/record_kale.py

The result, `kale.json`, is what nbdag's reading of the same tags is compared with.
"""

from __future__ import annotations

import json
from pathlib import Path

from kale.processors import NotebookProcessor  # type: ignore[import-not-found, unused-ignore]

HERE = Path(__file__).parent


def main() -> None:
    """Write the file."""
    pipeline = NotebookProcessor(str(HERE / "kale.ipynb")).run()
    found = {
        "name": pipeline.config.pipeline_name,
        "parameters": {name: each.param_value for name, each in pipeline.pipeline_parameters.items()},
        "steps": {step.name: step.source for step in pipeline.steps},
        "ins": {step.name: sorted(step.ins) for step in pipeline.steps},
        "limits": {step.name: dict(step.config.limits) for step in pipeline.steps},
        "edges": sorted(map(list, pipeline.edges())),
    }
    (HERE / "kale.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
