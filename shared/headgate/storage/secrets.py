"""SSM SecureString parameters: provider keys and the secret that seals tokens."""

from __future__ import annotations

from headgate.storage.aws import Caller, StoreFault


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
