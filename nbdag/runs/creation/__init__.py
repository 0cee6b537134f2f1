"""Create a run: check the requirements, plan the run, and build the tasks of a %%dag cell."""
