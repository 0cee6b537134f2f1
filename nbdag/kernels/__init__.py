"""The kernels that run a task's code, ordinary or forked, and what nbdag does inside them."""
