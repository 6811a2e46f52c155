"""What is kept fast: figures that do not depend on the machine's mood, compared with a committed baseline."""
