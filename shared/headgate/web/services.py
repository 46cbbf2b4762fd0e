"""What a function process holds on to between requests: settings, catalogue, credentials, connections, stores.

Made once per process without touching the network; connections are opened on first use (``start`` opens them while a
function initialises, when the CPU costs nothing) and thrown away after a SnapStart restore.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from headgate.access.keys import KeyStore
from headgate.catalog.catalog import Catalog
from headgate.providers.auth import Credentials
from headgate.routing.transport import Transport
from headgate.settings import Settings
from headgate.storage.aws import Connection
from headgate.storage.blobs import BlobStore
from headgate.storage.logs import LogStore
from headgate.storage.secrets import read_secret
from headgate.storage.table import Table
from headgate.storage.turns import TurnStore


class Services:
    """The process's long-lived objects. A test may replace any of them."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self.settings = settings
        self.catalog = Catalog.bundled()
        self.transport = Transport()
        self.dynamodb = Connection("dynamodb", region=settings.region)
        self.credentials = Credentials(
            environ,
            read_secret=read_secret,
            prefix=settings.provider_secrets_prefix,
            simulated_url=environ.get("HEADGATE_SIMULATED_PROVIDERS"),
        )
        self.keys = KeyStore(Table(self.dynamodb, settings.control_table))
        self.turns = TurnStore(Table(self.dynamodb, settings.state_table), settings, BlobStore.from_settings(settings))
        self.logs = LogStore(Table(self.dynamodb, settings.logs_table), settings)

    @classmethod
    def from_environment(cls) -> Services:
        """What the process's environment variables configure. Raises ValueError for bad values."""
        return cls(Settings.from_env(os.environ), os.environ)

    async def start(self) -> None:
        """Open what the first request would otherwise wait for. No request is sent."""
        self.transport.warm()
        self.dynamodb.connect()

    def restored(self) -> None:
        """Forget every connection of the snapshot."""
        self.transport.restored()
        self.dynamodb.recreate()

    async def stop(self) -> None:
        """Close the connections."""
        await self.transport.close()
