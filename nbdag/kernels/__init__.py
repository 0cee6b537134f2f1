"""Where a task's code runs: kernels, ordinary or forked, and what nbdag does inside them."""
