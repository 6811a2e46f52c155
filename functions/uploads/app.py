"""Uploads of large inputs and their results. Loads no model."""

from __future__ import annotations

from hearth.aws_lambda.handler import create_handler

TASKS = ()
handler = create_handler(TASKS)
