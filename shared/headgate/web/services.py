"""What a function process holds on to between requests: settings, catalogue, credentials, connections, stores.

Made once per process without touching the network; connections are opened on first use (``start`` opens them while a
function initialises, when the CPU costs nothing) and thrown away after a SnapStart restore.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from headgate.access.keys import KeyStore
from headgate.catalog.catalog import Catalog
from headgate.observe import Observer
from headgate.providers.auth import Credentials
from headgate.routing.media import MediaFetcher
from headgate.routing.rewrites import compiled
from headgate.routing.transport import Transport
from headgate.routing.warm import WarmRoutes
from headgate.settings import Settings
from headgate.storage.aws import Caller, Connection, StoreFault
from headgate.storage.aws_json import AwsJson
from headgate.storage.blobs import BlobStore
from headgate.storage.call_signatures import CallSignatures
from headgate.storage.continuations import Continuations
from headgate.storage.logs import LogStore
from headgate.storage.metrics import MetricsStore
from headgate.storage.secrets import Secrets
from headgate.storage.sessions import Sessions
from headgate.storage.table import Table
from headgate.storage.turns import TurnStore
from headgate.web.live import Live
from headgate.web.own_catalog import OwnCatalog


class Services:
    """The process's long-lived objects. A test may replace any of them."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self.settings = settings
        name = environ.get("POWERTOOLS_SERVICE_NAME") or environ.get("AWS_LAMBDA_FUNCTION_NAME") or "headgate"
        self.observer = Observer(name, settings.log_level)
        self.catalog = Catalog.bundled(settings.zdr_agreements)
        self.transport = Transport()
        self.media = MediaFetcher(self.transport.tls)
        self.dynamodb = self._caller("dynamodb", environ)
        self._secrets = Secrets(self._caller("ssm", environ))
        self._seal_secret = settings.seal_secret
        self.credentials = Credentials(
            environ,
            read_path=self._secrets.read_path,
            prefix=settings.provider_secrets,
            simulated_url=environ.get("HEADGATE_SIMULATED_PROVIDERS"),
            report=lambda fault: self.observer.logger.error("credential not usable", extra={"reason": fault}),
        )
        state = Table(self.dynamodb, settings.state_table)
        self._s3 = Connection("s3", settings.region)
        blobs = BlobStore(self._s3, settings.blob_bucket) if settings.blob_bucket else None
        self._own_catalog = (
            OwnCatalog(self.catalog, settings.catalog, self._s3, self._secrets.read, self.observer.logger.error)
            if settings.catalog
            else None
        )
        self.keys = KeyStore(Table(self.dynamodb, settings.control_table))
        self.warm = WarmRoutes()
        self.live = Live(MetricsStore(Table(self.dynamodb, settings.metrics_table)), self._metrics_unreachable)
        self.sessions = Sessions(state)
        self.model_rewrites, problems = compiled(settings.model_aliases)
        for problem in problems:
            self.observer.logger.error(problem)
        self.turns = TurnStore(state, settings.state_ttl, blobs)
        self.continuations = Continuations(state)
        self.call_signatures = CallSignatures(state)
        self.logs = LogStore(
            Table(self.dynamodb, settings.logs_table), settings.log_ttl, body_limit=settings.max_logged_body_bytes
        )

    def _caller(self, service: str, environ: Mapping[str, str]) -> Caller:
        region = self.settings.region
        return AwsJson.from_env(service, environ, region, self.transport.tls) or Connection(service, region)

    def _metrics_unreachable(self, reason: str) -> None:
        self.observer.logger.error("routing without live metrics", extra={"reason": reason})

    @classmethod
    def from_environment(cls) -> Services:
        """What the process's environment variables configure. Raises ValueError for bad values."""
        return cls(Settings.from_env(os.environ), os.environ)

    @property
    def seal_secret(self) -> bytes:
        """What our tokens are authenticated with; ``ready`` has fetched it."""
        assert self._seal_secret is not None
        return self._seal_secret

    async def refresh_catalog(self) -> None:
        """Bring ``catalog`` up to date with the deployer's own entries. Raises StoreFault, StoreUnavailable."""
        if self._own_catalog is not None:
            self.catalog = await self._own_catalog.get()

    async def ready(self) -> None:
        """Fetch what an inference request cannot do without. Raises StoreFault where the deployment lacks it."""
        await self.refresh_catalog()
        if self._seal_secret is None:
            name = self.settings.seal_secret_parameter
            value = await self._secrets.read(name) if name else None
            if not value or len(value) < 16:
                raise StoreFault(f"no seal secret of at least 16 characters (SSM parameter {name!r})")
            self._seal_secret = value.encode()

    async def start(self) -> None:
        """Open what the first request would otherwise wait for. No request is sent."""
        self.observer.warm()
        self.transport.warm()
        self.dynamodb.connect()

    def restored(self) -> None:
        """Forget every connection of the snapshot."""
        self.transport.restored()
        self.dynamodb.recreate()
        self._s3.recreate()
        self._secrets.connection.recreate()
        self.keys.clear()
        self.credentials.clear()
        self.warm.clear()
        self.live.clear()

    async def stop(self) -> None:
        """Close the connections."""
        await self.transport.close()
