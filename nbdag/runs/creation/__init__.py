"""Create a run: check every requirement, plan the run, and build the tasks of a %%dag cell."""
