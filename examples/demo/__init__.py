"""``python -m examples.demo``: real traffic at a guarded example, and what every part of it leaves behind."""
