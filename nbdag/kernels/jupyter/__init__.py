"""Jupyter's side of a task's kernel: provisioner, manager, client and papermill engine.

`provisioner` forks a kernel where the fork server can, and `forked_kernel` is that kernel. `manager` and `engine` start
it and execute a notebook in it, and `kernel_pool` keeps forked kernels ready for the jobs of an executor.
"""
