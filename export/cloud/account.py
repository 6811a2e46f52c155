"""What the account allows and has already: its concurrency, the parameters of the stack, the role of API Gateway."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

UNRESERVED = 100
"""Environments that AWS keeps for functions without reserved concurrency, or all in accounts with fewer."""


@dataclass(frozen=True)
class Account:
    concurrency: int
    """Execution environments of all functions of the region."""
    unreserved: int
    live_parameters: Mapping[str, str] = field(default_factory=dict)
    """The parameters of the stack; empty: there is no such stack yet."""
    has_logging_role: bool = False
    """Whether API Gateway may write logs in this region already."""

    def problems(self, values: Mapping[str, str]) -> Iterator[str]:
        """Yield a sentence for every quota that the stack's parameters would exceed."""
        reserved = int(values["Concurrency"])
        available = self.unreserved + int(self.live_parameters.get("Concurrency", 0)) - UNRESERVED
        if reserved > max(0, available):
            yield (
                f"Concurrency={reserved} cannot be reserved: the account has {self.concurrency} environments in this "
                f"region, of which {self.unreserved} are unreserved, and {UNRESERVED} of them must stay so. Use "
                "Concurrency=0, or ask for a larger quota (Service Quotas, Lambda, concurrent executions)."
            )
        if int(values["JobsConcurrency"]) > self.concurrency:
            yield (
                f"JobsConcurrency={values['JobsConcurrency']} is more than the {self.concurrency} environments that "
                f"the account has in this region: JobsConcurrency={max(2, self.concurrency // 2)} leaves some for "
                "requests."
            )


def read_account(session: Any, stack: str) -> Account:
    """Ask AWS. Raises BotoCoreError, ClientError."""
    limits = session.client("lambda").get_account_settings()["AccountLimit"]
    role = session.client("apigateway").get_account().get("cloudwatchRoleArn")
    return Account(
        limits["ConcurrentExecutions"],
        limits["UnreservedConcurrentExecutions"],
        _live_parameters(session, stack),
        bool(role),
    )


def _live_parameters(session: Any, stack: str) -> dict[str, str]:
    """The parameters of a stack; none without a name, or if there is no such stack."""
    from botocore.exceptions import ClientError

    if not stack:
        return {}
    try:
        description = session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return {}
        raise
    return {row["ParameterKey"]: row.get("ParameterValue", "") for row in description.get("Parameters", ())}
