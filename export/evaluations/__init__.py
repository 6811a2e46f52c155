"""One file a family of tasks: what is measured of its answers, and what files it reads examples from."""
