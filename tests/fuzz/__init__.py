"""atheris on every decoder and parser: `python -m tests.fuzz [TARGET …] [--runs N]`."""
