"""The benchmarks themselves: models, charts, tables and the page. None of these tests measures."""
