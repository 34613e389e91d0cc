"""The stacks under the same load: a page in Locust's web UI, a CSV file, an HTML report."""
