"""SSM SecureString parameters: provider keys and the secret that seals tokens."""

from __future__ import annotations

from typing import Any

from headgate.storage.aws import Caller, StoreFault

PAGE = 10
"""Parameters that SSM gives at most in one answer to a path."""


class Secrets:
    """Reads parameters by name. Nothing is kept here: whoever needs a secret decides for how long."""

    def __init__(self, connection: Caller) -> None:
        self.connection = connection

    async def read(self, name: str) -> str | None:
        """The decrypted value, None where there is no such parameter. Raises StoreUnavailable, StoreFault."""
        try:
            answer = await self.connection.call("get_parameter", {"Name": name, "WithDecryption": True})
        except StoreFault as fault:
            if fault.reason.startswith("ParameterNotFound"):
                return None
            raise
        return answer["Parameter"]["Value"].strip()

    async def read_path(self, path: str) -> dict[str, str]:
        """Every parameter below ``path`` (which ends in a slash), decrypted, by the rest of its name. One call for
        each ten parameters. Raises StoreUnavailable, StoreFault."""
        asked: dict[str, Any] = {"Path": path, "Recursive": True, "WithDecryption": True, "MaxResults": PAGE}
        found: dict[str, str] = {}
        while True:
            answer = await self.connection.call("get_parameters_by_path", asked)
            for parameter in answer.get("Parameters", ()):
                found[parameter["Name"].removeprefix(path)] = parameter["Value"].strip()
            if not (token := answer.get("NextToken")):
                return found
            asked = {**asked, "NextToken": token}
