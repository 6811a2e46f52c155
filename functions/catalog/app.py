"""What is served, and whether the service is up. Loads no model."""

from __future__ import annotations

from hearth.entry import create_handler

TASKS = ()
handler = create_handler(TASKS)
