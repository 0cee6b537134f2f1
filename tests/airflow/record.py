"""Run the DAG files under Airflow, and write the states and XComs of their tasks into expected.json.

    /path/to/venv-with-airflow-3/bin/python tests/airflow/record.py

The venv needs apache-airflow 3 with the providers `standard` and `common-sql`. Each file runs by `dag.test()`, in an
AIRFLOW_HOME of its own. Airflow 3 has no `schedule_interval`, so this keyword is `schedule` there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
# Runs in a process of its own, because Airflow reads its settings when it is imported.
_RUN = """
import json, sys, traceback
from airflow.dag_processing.dagbag import DagBag
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session

def record(path):
    bag = DagBag(dag_folder=path)
    assert not bag.import_errors, bag.import_errors
    dag = next(iter(bag.dags.values()))
    run = dag.test()
    found = {"dag": dag.dag_id, "state": str(run.state), "tasks": {}}
    with create_session() as session:
        for ti in run.get_task_instances(session=session):
            name = ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"
            rows = session.query(XComModel).filter_by(
                dag_id=dag.dag_id, run_id=run.run_id, task_id=ti.task_id, map_index=ti.map_index)
            xcoms = {row.key: XComModel.deserialize_value(row) for row in rows if row.key != "skipmixin_key"}
            found["tasks"][name] = {"state": str(ti.state), "xcoms": xcoms}
    return found

found = {}
for path in sys.argv[2:]:
    name = path.rpartition("/")[2].removesuffix(".py")
    try:
        found[name] = record(path)
    except BaseException:
        traceback.print_exc()
    json.dump(found, open(sys.argv[1], "w"), default=str)
"""


def main() -> None:
    """Record all files, or those that are named."""
    sys.path.insert(0, str(HERE.parent / "support"))
    from airflow_files import DAG_FILES, SETTINGS

    path = HERE / "expected.json"
    expected = json.loads(path.read_text()) if path.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        settings = {"AIRFLOW_HOME": folder, "AIRFLOW__CORE__LOAD_EXAMPLES": "false"}
        environment = {**os.environ, **SETTINGS, **settings, "AIRFLOW__CORE__DAGS_FOLDER": f"{folder}/dags"}
        Path(folder, "dags").mkdir()
        airflow = Path(sys.executable).with_name("airflow")
        subprocess.run([airflow, "db", "migrate"], env=environment, check=True, stdout=subprocess.DEVNULL)
        runner, result = Path(folder, "run.py"), Path(folder, "result.json")
        runner.write_text(_RUN)
        files = [Path(folder, "dags", f"{name}.py") for name in sys.argv[1:] or DAG_FILES]
        for file in files:
            file.write_text(DAG_FILES[file.stem].replace("schedule_interval=", "schedule="))
        subprocess.run([sys.executable, runner, result, *files], env=environment, check=True)
        expected |= json.loads(result.read_text())
    path.write_text(json.dumps(expected, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
