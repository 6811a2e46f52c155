"""Hearth: AI models as a service, from serverless functions. The runtime that every function imports."""

__version__ = "0.1.0"
