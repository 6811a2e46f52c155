"""The model catalogue, health checks and the playground. Loads no model."""

from __future__ import annotations

from pathlib import Path

from hearth.aws_lambda.handler import create_handler

TASKS = ()
handler = create_handler(TASKS, Path(__file__).parent / "page")
