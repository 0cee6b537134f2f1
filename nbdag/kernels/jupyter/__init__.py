"""Jupyter's side of a task's kernel: provisioner, manager, client and papermill engine.

`provisioner` forks a kernel where the fork server can, `forked_kernel` is that kernel, `manager` and `engine` drive it,
and `kernel_pool` keeps forked kernels ready for the jobs at hand.
"""
