"""Load on both stacks: locust users, a raw load generator, the benchmark report."""
