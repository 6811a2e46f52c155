"""Hearth: AI models served from serverless functions. The runtime library of all functions."""

__version__ = "0.1.0"
