"""What must hold for the translated template; each rule yields a sentence for whatever breaks it."""

from tests.template.rules import api, functions, operations, queues, roles, storage
from tests.template.rules.registry import RULES, assertions, findings

__all__ = ["RULES", "api", "assertions", "findings", "functions", "operations", "queues", "roles", "storage"]
