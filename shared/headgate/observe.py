"""The function's own log lines and metrics, through Powertools: JSON lines and CloudWatch's embedded metric format.

Powertools is imported when the first line is written or by ``Observer.warm``, not with this module. Its Tracer is not
used at all: importing it costs more than the rest of the gateway.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, TextIO

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

Unit = Literal["Count", "Milliseconds", "Bytes", "None"]

_REQUEST: ContextVar[str | None] = ContextVar("headgate_request_id", default=None)
_SECRETS = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:sk|xai|gsk|hf|pk|rk)[-_][A-Za-z0-9_-]{16,}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}"
    r"|AIza[A-Za-z0-9_-]{30,}"
    r"|ya29\.[A-Za-z0-9._-]{16,}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r"|[Bb]earer +[A-Za-z0-9._~+/=-]{12,}"
    r")"
)


def redact(text: str) -> str:
    """The text with everything shaped like a credential replaced by ``[redacted]``. Keys masked for display pass."""
    return _SECRETS.sub("[redacted]", text)


@contextmanager
def request_scope(request_id: str) -> Generator[None]:
    """Within it, log lines of this task carry the request's id."""
    token = _REQUEST.set(request_id)
    try:
        yield
    finally:
        _REQUEST.reset(token)


class Observer:
    """Log and metrics of one function.

    ``service`` names the function; ``namespace`` is CloudWatch's. ``stream``: where log lines go, None for standard
    output, which is what Lambda collects.
    """

    def __init__(
        self, service: str, level: str = "INFO", *, namespace: str = "Headgate", stream: TextIO | None = None
    ) -> None:
        self._service = service
        self._level = level
        self._namespace = namespace
        self._stream = stream
        self._logger: Logger | None = None

    @property
    def logger(self) -> Logger:
        """A Powertools logger. What goes in ``extra`` becomes members of the JSON line; every line is redacted."""
        if self._logger is None:
            from aws_lambda_powertools import Logger

            handler = logging.StreamHandler(self._stream or _Stdout())
            self._logger = Logger(
                service=self._service,
                level=self._level,
                logger_handler=handler,
                json_serializer=_serialize,
                utc=True,
                use_rfc3339=True,
            )
        return self._logger

    def warm(self) -> None:
        """Import Powertools now, while a function initialises and its processor time is free."""
        from aws_lambda_powertools.metrics import EphemeralMetrics

        assert self.logger is not None and EphemeralMetrics is not None

    def metrics(
        self,
        values: Mapping[str, tuple[float, Unit]],
        dimensions: Mapping[str, str],
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        """Publish metrics as one line on standard output, after the answer's stream has been closed.

        ``values``: name to (value, unit). ``dimensions`` multiply the number of metrics that CloudWatch bills, so they
        hold only what has few values; ``properties`` are searchable but free. An empty dimension is left out. The
        metrics of concurrent requests never mix, because each call is a set of its own.
        """
        from aws_lambda_powertools.metrics import EphemeralMetrics

        metrics = EphemeralMetrics(namespace=self._namespace, service=self._service)
        for name, value in dimensions.items():
            if value:
                metrics.add_dimension(name, value)
        for name, (value, unit) in values.items():
            metrics.add_metric(name, unit, value)
        for name, value in (properties or {}).items():
            metrics.add_metadata(name, value)
        if values:
            metrics.flush_metrics()

    def close(self) -> None:
        """Take the log handler away again, so that a later observer of the same service starts anew."""
        if self._logger is not None:
            plain = logging.getLogger(self._service)
            for handler in list(plain.handlers):
                plain.removeHandler(handler)
            if hasattr(plain, "init"):
                delattr(plain, "init")
            self._logger = None


class _Stdout:
    """Standard output as it is at the time of writing: test runners and servers exchange it."""

    def write(self, text: str) -> None:
        sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


def _serialize(line: Mapping[str, Any]) -> str:
    request_id = _REQUEST.get()
    if request_id is not None and "request_id" not in line:
        line = {**line, "request_id": request_id}
    return redact(json.dumps(line, default=str, separators=(",", ":")))
