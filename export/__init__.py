"""The export pipeline: from a data set to an artifact that a function serves."""

from pathlib import Path

import hearth_functions

FUNCTIONS = Path(hearth_functions.__path__[0])
"""Contains one folder per task family, each with an `app.py`."""
ZOO = Path(__file__).parent / "zoo"
"""A store of the small models that this project trained."""
