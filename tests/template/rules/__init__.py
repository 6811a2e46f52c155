"""Rules for the translated template; each yields a sentence for every violation."""

from tests.template.rules import api, functions, operations, queues, roles, storage
from tests.template.rules.registry import RULES, assertions, findings

__all__ = ["RULES", "api", "assertions", "findings", "functions", "operations", "queues", "roles", "storage"]
