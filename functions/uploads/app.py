"""Large inputs: leave to upload them, and their results. Loads no model."""

from __future__ import annotations

from hearth.aws_lambda.handler import create_handler

TASKS = ()
handler = create_handler(TASKS)
