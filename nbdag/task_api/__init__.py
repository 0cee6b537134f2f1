"""The part of nbdag that a task's code uses while it runs.

`context` has `dag_run` and `ti`, which describe the run and exchange values by XCom. `task_state` keeps small facts for
the next try or run. `waiting` ends an attempt and runs the task again later, until a condition holds. `asset_facts`
records facts about the assets that the task produces.
"""
