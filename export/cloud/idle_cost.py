"""What the stack costs in a month without a single request, item by item; `hearth cost --stack` prints it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hearth_build.cloud.dedicated import Dedicated

SECONDS_A_MONTH = 730 * 3600
POLLERS, POLL_SECONDS = 5, 20
"""Lambda polls an idle queue with five pollers, each waiting twenty seconds (AWS Lambda, SQS event sources)."""
FIREWALL_RULES = 3


@dataclass(frozen=True)
class Item:
    name: str
    quantity: str
    dollars: float
    """Per month."""


def idle_items(
    values: Mapping[str, str], alarm_metrics: int, prices: Mapping[str, Any], dedicated: Sequence[Dedicated] = ()
) -> list[Item]:
    """The items of a stack with these parameters and dedicated functions, without those that cost nothing. Objects in
    S3 and stored logs cost by their size, and are left out."""
    idle = prices["idle"]
    polls = POLLERS * SECONDS_A_MONTH // POLL_SECONDS
    gigabytes = int(values["Memory"]) / 1024
    provisioned = int(values["ProvisionedConcurrency"])
    items = [
        Item("alarms", f"{alarm_metrics} metrics", alarm_metrics * idle["alarm"]),
        Item("polling of the queue", f"{polls:,} requests", polls * idle["queue_request"]),
    ]
    if values["CustomerKey"] == "true":
        items.append(Item("customer-managed key", "1", idle["key"]))
    if values["Dashboard"] == "true":
        items.append(Item("dashboard", "1", idle["dashboard"]))
    if int(values["FirewallRate"]):
        dollars = idle["firewall"] + FIREWALL_RULES * idle["firewall_rule"]
        items.append(Item("firewall", f"{FIREWALL_RULES} rules", dollars))
    if provisioned:
        dollars = provisioned * gigabytes * SECONDS_A_MONTH * idle["provisioned"]
        items.append(Item("provisioned concurrency", f"{provisioned} × {gigabytes:.2f} GB", dollars))
    if values["SnapStart"] == "PublishedVersions":
        dollars = gigabytes * SECONDS_A_MONTH * idle["snapshot"]
        items.append(Item("snapshot of the version in traffic", f"{gigabytes:.2f} GB", dollars))
    for row in dedicated:
        if row.provisioned:
            dollars = row.provisioned * row.memory / 1024 * SECONDS_A_MONTH * idle["provisioned"]
            items.append(Item(f"warm environments of {row.model}", f"{row.provisioned}", dollars))
    return items


def markdown(items: list[Item]) -> str:
    """A table of the items with their sum."""
    lines = ["| item | quantity | $ a month |", "|---|---:|---:|"]
    lines += [f"| {item.name} | {item.quantity} | {item.dollars:.2f} |" for item in items]
    return "\n".join([*lines, f"| **together** | | **{sum(item.dollars for item in items):.2f}** |"])
