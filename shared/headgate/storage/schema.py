"""The four tables: their keys and expiry. The deployment template must say the same; a test compares the two.

All four have a string partition key ``pk`` and a string sort key ``sk``, so that one small client serves them all.
They are separate tables because their contents differ in lifetime, in size and in who may read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PARTITION_KEY = "pk"
SORT_KEY = "sk"
TTL_ATTRIBUTE = "expires_at"
"""Unix seconds. DynamoDB deletes some time after it, so every reader compares it as well."""


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """``ttl``: whether rows expire by ``TTL_ATTRIBUTE``. ``protected``: whether the template guards the table against
    deletion and keeps point-in-time backups."""

    role: str
    ttl: bool
    protected: bool = False

    def create_parameters(self, name: str) -> dict[str, Any]:
        """The parameters of a ``CreateTable`` call."""
        return {
            "TableName": name,
            "AttributeDefinitions": [
                {"AttributeName": PARTITION_KEY, "AttributeType": "S"},
                {"AttributeName": SORT_KEY, "AttributeType": "S"},
            ],
            "KeySchema": [
                {"AttributeName": PARTITION_KEY, "KeyType": "HASH"},
                {"AttributeName": SORT_KEY, "KeyType": "RANGE"},
            ],
            "BillingMode": "PAY_PER_REQUEST",
        }


STATE = TableDefinition("state", ttl=True)
LOGS = TableDefinition("logs", ttl=True)
CONTROL = TableDefinition("control", ttl=False, protected=True)
METRICS = TableDefinition("metrics", ttl=True)
TABLES: Mapping[str, TableDefinition] = {t.role: t for t in (STATE, LOGS, CONTROL, METRICS)}


def create_tables(client: Any, names: Mapping[str, str]) -> None:
    """Create the tables through a botocore DynamoDB client, for local use and tests; ``names`` is role to table name.
    A table that exists is left as it is."""
    for role, name in names.items():
        definition = TABLES[role]
        try:
            client.create_table(**definition.create_parameters(name))
        except client.exceptions.ResourceInUseException:
            continue
        client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        if definition.ttl:
            client.update_time_to_live(
                TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": TTL_ATTRIBUTE}
            )
