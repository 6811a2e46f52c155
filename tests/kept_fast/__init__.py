"""Performance figures that do not vary between runs, compared with a committed baseline."""
