"""The part of nbdag that a task's code uses while it runs.

`context` has `dag_run` and `ti`, which describe the run and exchange values by XCom. `task_state` keeps small facts for
the next try or run. `waiting` ends an attempt until something exists. `asset_facts` records facts about the assets that
the task produces.
"""
