"""The export pipeline: from a data set to an artifact that a function serves."""
