"""What the deployment decides: one immutable value, read once from the environment and passed down.

Nothing in here is read at import. An empty variable counts as unset, because CloudFormation can only pass an empty
string for a parameter that was left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DAY = 86_400
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PARAMETER_NAME = re.compile(r"/?[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*/?")


class SettingsError(ValueError):
    """An environment variable is malformed. The message names the variable and what it must be, never a secret."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds towards an upstream: to connect, to the first byte of the answer, between two bytes, in all."""

    connect: float = 5.0
    first_byte: float = 60.0
    idle: float = 60.0
    total: float = 600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """The deployment's configuration.

    Table names are DynamoDB's. ``blob_bucket``: S3 bucket for large media, None keeps them in the state table.
    ``state_ttl`` and ``log_ttl`` are seconds. ``max_request_bytes`` bounds a request body as the function receives it
    (a function URL passes at most 6 MB), ``max_logged_body_bytes`` what the request log keeps of a body where a key's
    policy has bodies logged. ``provider_secrets``: SSM path prefix that ends in ``/``; a provider's key
    stands at ``<prefix><provider>``. ``seal_secret`` or ``seal_secret_parameter`` (an SSM parameter's name): what
    the tokens around providers' sealed bytes are authenticated with. ``origin_secret``: the header value that only
    the CDN in front knows, None where there is no CDN. ``region`` None: botocore finds it as every AWS tool does.
    ``catalog``: where the deployer's own catalogue entries stand, a file's path, ``s3://bucket/key`` or ``ssm:name``.
    ``circuit_breaker``: whether routes that keep failing are left out for a while. ``retry_wait``: the longest wait in
    seconds that a provider may ask for before it is tried once more.
    ``zdr_agreements``: slugs of the providers with which the deployment has agreed on zero data retention.
    ``model_aliases``: pairs of a regular expression and what replaces a model name that it matches, in order.
    """

    state_table: str = "headgate-state"
    logs_table: str = "headgate-logs"
    control_table: str = "headgate-control"
    metrics_table: str = "headgate-metrics"
    region: str | None = None
    blob_bucket: str | None = None
    state_ttl: int = 30 * DAY
    log_ttl: int = 30 * DAY
    max_request_bytes: int = 6 * 1024 * 1024
    max_logged_body_bytes: int = 1_000_000
    log_level: str = "INFO"
    provider_secrets: str | None = None
    seal_secret: bytes | None = field(default=None, repr=False)
    seal_secret_parameter: str | None = None
    origin_secret: str | None = field(default=None, repr=False)
    catalog: str | None = None
    zdr_agreements: frozenset[str] = frozenset()
    model_aliases: tuple[tuple[str, str], ...] = ()
    circuit_breaker: bool = True
    retry_wait: int = 5
    timeouts: Timeouts = Timeouts()

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings. Raises ``SettingsError`` for a value that cannot be meant."""
        read = _Reader(environ)
        prefix = read.text("HEADGATE_PROVIDER_SECRETS", _PARAMETER_NAME, "an SSM parameter path")
        secret = read.text("HEADGATE_SEAL_SECRET")
        if secret is not None and len(secret) < 16:
            raise SettingsError("HEADGATE_SEAL_SECRET must have at least 16 characters")
        default = cls()
        return cls(
            state_table=read.table("HEADGATE_STATE_TABLE", default.state_table),
            logs_table=read.table("HEADGATE_LOGS_TABLE", default.logs_table),
            control_table=read.table("HEADGATE_CONTROL_TABLE", default.control_table),
            metrics_table=read.table("HEADGATE_METRICS_TABLE", default.metrics_table),
            region=read.text("AWS_REGION") or read.text("AWS_DEFAULT_REGION"),
            blob_bucket=read.text("HEADGATE_BLOB_BUCKET", _BUCKET_NAME, "an S3 bucket name"),
            state_ttl=read.whole("HEADGATE_STATE_TTL_DAYS", 30, 1, 3650) * DAY,
            log_ttl=read.whole("HEADGATE_LOG_TTL_DAYS", 30, 1, 3650) * DAY,
            max_request_bytes=read.whole("HEADGATE_MAX_REQUEST_BYTES", default.max_request_bytes, 1024, 2**31),
            max_logged_body_bytes=read.whole(
                "HEADGATE_MAX_LOGGED_BODY_BYTES", default.max_logged_body_bytes, 0, 10_000_000
            ),
            log_level=read.choice("HEADGATE_LOG_LEVEL", _LEVELS, default.log_level),
            provider_secrets=prefix if prefix is None or prefix.endswith("/") else prefix + "/",
            seal_secret=None if secret is None else secret.encode(),
            seal_secret_parameter=read.text(
                "HEADGATE_SEAL_SECRET_PARAMETER", _PARAMETER_NAME, "the name of an SSM parameter"
            ),
            origin_secret=read.text("HEADGATE_ORIGIN_SECRET"),
            catalog=read.text("HEADGATE_CATALOG"),
            zdr_agreements=read.names("HEADGATE_ZDR_PROVIDERS"),
            model_aliases=read.pairs("HEADGATE_MODEL_ALIASES"),
            circuit_breaker=read.choice("HEADGATE_CIRCUIT_BREAKER", ("ON", "OFF"), "ON") == "ON",
            retry_wait=read.whole("HEADGATE_RETRY_WAIT", default.retry_wait, 0, 60),
            timeouts=Timeouts(
                connect=read.seconds("HEADGATE_CONNECT_TIMEOUT", default.timeouts.connect),
                first_byte=read.seconds("HEADGATE_FIRST_BYTE_TIMEOUT", default.timeouts.first_byte),
                idle=read.seconds("HEADGATE_IDLE_TIMEOUT", default.timeouts.idle),
                total=read.seconds("HEADGATE_TOTAL_TIMEOUT", default.timeouts.total),
            ),
        )

    def table_names(self) -> dict[str, str]:
        """Table names by role, as ``storage.schema`` knows the roles."""
        return {
            "state": self.state_table,
            "logs": self.logs_table,
            "control": self.control_table,
            "metrics": self.metrics_table,
        }


class _Reader:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str, pattern: re.Pattern[str] | None = None, what: str = "") -> str | None:
        value = self._environ.get(name, "").strip()
        if value and pattern is not None and not pattern.fullmatch(value):
            raise SettingsError(f"{name} must be {what}, not {value!r}")
        return value or None

    def names(self, name: str) -> frozenset[str]:
        return frozenset(part.strip() for part in self._environ.get(name, "").split(",") if part.strip())

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        """A JSON list of pairs of strings; a pair may also be an object of ``pattern`` and ``replacement``."""
        wrong = SettingsError(f"{name} must be a JSON list of [pattern, replacement] pairs of strings")
        try:
            value: Any = json.loads(self.text(name) or "[]")
        except (ValueError, RecursionError):
            raise wrong from None
        if not isinstance(value, list):
            raise wrong
        pairs: list[tuple[str, str]] = []
        for each in value:
            pair = each
            if isinstance(each, dict) and each.keys() == {"pattern", "replacement"}:
                pair = [each["pattern"], each["replacement"]]
            if not isinstance(pair, list) or [type(text) for text in pair] != [str, str]:
                raise wrong
            pairs.append((pair[0], pair[1]))
        return tuple(pairs)

    def table(self, name: str, default: str) -> str:
        what = "a DynamoDB table name (3 to 255 of A-Z a-z 0-9 _ . -)"
        return self.text(name, _TABLE_NAME, what) or default

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        value = self.text(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,12}", value) or not low <= int(value) <= high:
            raise SettingsError(f"{name} must be a whole number from {low} to {high}, not {value!r}")
        return int(value)

    def seconds(self, name: str, default: float) -> float:
        value = self.text(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value) or not 0 < float(value) <= 900:
            raise SettingsError(f"{name} must be a number of seconds above 0 and at most 900, not {value!r}")
        return float(value)

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        value = self.text(name)
        if value is None:
            return default
        if value.upper() not in allowed:
            raise SettingsError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
        return value.upper()
