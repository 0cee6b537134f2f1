"""Record how Ploomber reads and builds `ploomber/pipeline.yaml`: its tasks, and the files that a build leaves.

    uv venv ploomber && uv pip install --python ploomber/bin/python ploomber==0.23.3 'setuptools<80'
    ploomber/bin/python tests/migrate/foreign/record_ploomber.py

The result is `ploomber.json`.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
os.environ["PLOOMBER_STATS_ENABLED"] = "false"


def relative(product: Any, root: Path) -> Any:
    """Return the paths of a product, relative to the folder of the pipeline."""
    if hasattr(product, "to_json_serializable"):
        return relative(product.to_json_serializable(), root)
    if isinstance(product, dict):
        return {key: relative(each, root) for key, each in product.items()}
    return os.path.relpath(root / str(product), root)


def main() -> None:
    """Write the file."""
    from ploomber.spec import DAGSpec  # type: ignore[import-not-found, unused-ignore]

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        shutil.copytree(HERE / "ploomber", root, dirs_exist_ok=True)
        os.chdir(root)
        dag = DAGSpec("pipeline.yaml").to_dag()
        dag.build(force=True)
        found: dict[str, Any] = {"tasks": {}, "files": {}}
        for name in dag:
            task = dag[name]
            given = {key: value for key, value in task.params.to_dict().items() if key not in ("upstream", "product")}
            found["tasks"][name] = {
                "after": sorted(task.upstream),
                "product": relative(task.product, root),
                "params": given,
            }
        for file in sorted(Path("output").rglob("*")):
            if file.suffix in (".txt", ".csv"):
                found["files"][file.as_posix()] = file.read_text(encoding="utf-8")
    (HERE / "ploomber.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
