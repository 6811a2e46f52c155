"""The export pipeline: from a data set to an artifact that a function serves."""

from pathlib import Path

import hearth_functions

FUNCTIONS = Path(hearth_functions.__path__[0])
"""A folder a task, with its `app.py`."""
ZOO = Path(__file__).parent / "zoo"
"""The small models that the project itself trained: a store."""
