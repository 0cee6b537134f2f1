"""What nbdag costs, measured beside its peers. Run it with `python -m tests.benchmarks`; pytest does not."""
