"""Tools of the tests: fakes, tiny artifacts, local servers, containers."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The root folder of the repository."""
