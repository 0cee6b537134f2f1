"""Jupyter's side of a task's kernel: provisioner, manager, client and papermill engine.

`provisioner` forks a kernel if a fork server is available; `forked_kernel` is the code of that kernel. `manager` starts
a kernel, `engine` executes a notebook in a kernel, and `kernel_pool` keeps forked kernels ready for the jobs of an
executor.
"""
