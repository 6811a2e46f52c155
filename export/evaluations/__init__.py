"""One file per task family: what is measured, and which files examples are read from."""
