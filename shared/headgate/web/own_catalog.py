"""Where the deployer's own catalogue entries come from: a file, an S3 object or an SSM parameter."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from headgate.catalog.catalog import Catalog
from headgate.catalog.deployment import BadOverlay, overlaid
from headgate.storage.aws import StoreFault, StoreUnavailable

# How long a change may go unnoticed.
KEEP_SECONDS = 60.0


class Download(Protocol):
    """The part of an S3 connection that is used here."""

    async def download(self, parameters: Mapping[str, Any]) -> bytes: ...


class OwnCatalog:
    """The bundled catalogue with the deployment's entries over it, read anew every ``KEEP_SECONDS``.

    location: a path, ``s3://bucket/key`` or ``ssm:name``. report: is told why the entries could not be read anew; the
    last good ones stay in force then."""

    def __init__(
        self,
        bundled: Catalog,
        location: str,
        s3: Download,
        read_parameter: Callable[[str], Awaitable[str | None]],
        report: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bundled = bundled
        self._location = location
        self._s3 = s3
        self._read_parameter = read_parameter
        self._report = report
        self._clock = clock
        self._text: str | None = None
        self._catalog: Catalog | None = None
        self._read_at = 0.0

    async def get(self) -> Catalog:
        """The catalogue in force. Raises StoreFault or StoreUnavailable where the entries were never readable: serving
        without them could offer what the deployer has hidden."""
        if self._catalog is not None and self._clock() - self._read_at < KEEP_SECONDS:
            return self._catalog
        try:
            text = await self._read()
            if self._catalog is None or text != self._text:
                self._catalog = self._bundled.replaced(overlaid(self._bundled.data, json.loads(text)))
                self._text = text
        except (StoreFault, StoreUnavailable, ValueError, OSError) as error:
            if self._catalog is None:
                if isinstance(error, StoreUnavailable):
                    raise
                raise StoreFault(f"HEADGATE_CATALOG {self._location}: {_reason(error)}") from error
            self._report(f"HEADGATE_CATALOG {self._location}: {_reason(error)}")
        self._read_at = self._clock()
        return self._catalog

    async def _read(self) -> str:
        if self._location.startswith("s3://"):
            bucket, _, key = self._location.removeprefix("s3://").partition("/")
            return (await self._s3.download({"Bucket": bucket, "Key": key})).decode()
        if self._location.startswith("ssm:"):
            name = self._location.removeprefix("ssm:")
            value = await self._read_parameter(name)
            if value is None:
                raise StoreFault("there is no such parameter")
            return value
        return _file(self._location)


def _file(path: str) -> str:
    # Not in a thread: a small local file takes less time than one.
    return Path(path).read_text(encoding="utf-8")


def _reason(error: Exception) -> str:
    if isinstance(error, BadOverlay | StoreFault | OSError):
        return str(error)
    return f"not valid JSON ({error})"
