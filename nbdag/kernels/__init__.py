"""The kernels that run a task's code, ordinary or forked, and the code of nbdag inside them."""
