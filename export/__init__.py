"""The export pipeline: from a data set to an artifact that a function serves."""

from pathlib import Path

ZOO = Path(__file__).parent / "zoo"
"""The small models that the project itself trained: a store."""
