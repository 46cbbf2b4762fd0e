"""AWS's JSON protocol, which DynamoDB and SSM speak, over asyncio's streams: signed, pooled, tried again.

Every request of the gateway makes one to three calls to DynamoDB. botocore needs a thread and four times the processor
time for each (about 1 ms), a sixth of a cold start and 19 MB for its models; this does the few things of it that a
function needs. ``from_env`` says no wherever something unusual is configured, and ``aws.Connection`` serves then.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import random
import re
import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from headgate.storage.aws import StoreUnavailable, translate_error

T = TypeVar("T")

_ATTEMPTS = 3
_PAUSE = 0.05  # seconds; doubled with each attempt, of which a random part is waited
_IDLE = 30.0  # seconds after which a connection is not used again: the far end, or what is between, may have let go
_HEAD_LIMIT = 64 * 1024
# The first part of ``X-Amz-Target``, and the protocol's version.
_SERVICES = {"dynamodb": ("DynamoDB_20120810", "1.0"), "ssm": ("AmazonSSM", "1.1")}
_REGION = re.compile(r"(?!cn-|us-iso|eu-isoe)[a-z]{2}(-[a-z]+)+-\d")
# Any of them asks for more than is done here.
_UNUSUAL = (
    "AWS_CA_BUNDLE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ENDPOINT_URL",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_PROFILE",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
    *(name for proxy in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") for name in (proxy, proxy.lower())),
)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """Credentials as Lambda puts them into a function's environment, where they outlive the function's process."""

    id: str
    secret: str
    token: str = ""


class AwsJson:
    """A client of one service in one region, with the face of ``aws.Connection``.

    ``service`` is ``dynamodb`` or ``ssm``, ``endpoint`` a URL, and ``tls`` gives what its certificate is checked with.
    ``timeout`` and ``connect_timeout`` are seconds for one attempt, of which a call makes at most three.
    ``clock``: Unix seconds.
    """

    def __init__(
        self,
        service: str,
        endpoint: str,
        region: str,
        key: AccessKey,
        *,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        timeout: float = 5.0,
        connect_timeout: float = 2.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        url = urlsplit(endpoint)
        self._tls = tls if url.scheme == "https" else None
        self._host = url.hostname or ""
        self._port = url.port or (443 if self._tls else 80)
        self._authority = url.netloc
        self._target, version = _SERVICES[service]
        self._content_type = f"application/x-amz-json-{version}"
        self._signer = Signer(key, region, service)
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._clock = clock
        self._idle: list[_Wire] = []

    @classmethod
    def from_env(
        cls,
        service: str,
        environ: Mapping[str, str],
        region: str | None,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    ) -> AwsJson | None:
        """The client that the environment of a function describes; None where it takes botocore to understand it: no
        keys in the environment (SnapStart), a profile, a proxy, an own certificate, another partition."""
        key = AccessKey(
            environ.get("AWS_ACCESS_KEY_ID", ""),
            environ.get("AWS_SECRET_ACCESS_KEY", ""),
            environ.get("AWS_SESSION_TOKEN", ""),
        )
        if not (key.id and key.secret and region and _REGION.fullmatch(region)):
            return None
        if any(environ.get(name) for name in _UNUSUAL):
            return None
        endpoint = environ.get(f"AWS_ENDPOINT_URL_{service.upper()}") or f"https://{service}.{region}.amazonaws.com"
        return cls(service, endpoint, region, key, tls=tls)

    def connect(self) -> None:
        """Load the certificate authorities, which the first call would otherwise wait for. No network traffic."""
        if self._tls is not None:
            self._tls()

    def recreate(self) -> None:
        """Drop the connections; the next call opens new ones. Also how to close."""
        idle, self._idle = self._idle, []
        for wire in idle:
            wire.drop()

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking work in a thread."""
        return await asyncio.to_thread(work)

    async def call(self, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Call an operation by botocore's name for it (``put_item`` …) with AWS's own parameters. Raises
        ``ConditionFailed``, ``StoreUnavailable``, ``StoreFault``."""
        operation = method.title().replace("_", "")
        if operation == "TransactWriteItems":
            # Makes the repetition of a transaction whose answer got lost harmless.
            parameters = {"ClientRequestToken": str(uuid.uuid4()), **parameters}
        body = json.dumps(parameters, default=_to_base64, separators=(",", ":")).encode()
        failure: Exception = StoreUnavailable()
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(random.uniform(0, _PAUSE * 2**attempt))
            try:
                async with asyncio.timeout(self._timeout):
                    status, answer = await self._exchange(operation, body)
            except (OSError, EOFError, ValueError) as error:  # TimeoutError is an OSError
                failure = StoreUnavailable(f"{type(error).__name__}: {error}")
                continue
            if status == 200:
                return answer
            failure = translate_error(_error(status, answer))
            if not isinstance(failure, StoreUnavailable):
                break
        raise failure

    async def _exchange(self, operation: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """One attempt. A kept connection that proves to be gone before an answer costs no attempt: the function may
        have been frozen for hours."""
        head = self._head(operation, body)
        while wire := self._kept():
            try:
                return await self._over(wire, head + body)
            except (ConnectionError, asyncio.IncompleteReadError):
                self.recreate()
        return await self._over(await self._open(), head + body)

    async def _over(self, wire: _Wire, message: bytes) -> tuple[int, dict[str, Any]]:
        try:
            status, keep, content = await wire.exchange(message)
        except BaseException:  # also a cancellation: what is on its way would answer the next call
            wire.drop()
            raise
        if keep:
            wire.used_at = self._clock()
            self._idle.append(wire)
        else:
            wire.drop()
        return status, json.loads(content, object_hook=_from_base64) if content else {}

    def _kept(self) -> _Wire | None:
        while self._idle:
            wire = self._idle.pop()
            if 0 <= self._clock() - wire.used_at < _IDLE and wire.alive():
                return wire
            wire.drop()
        return None

    async def _open(self) -> _Wire:
        tls = self._tls() if self._tls is not None else None
        async with asyncio.timeout(self._connect_timeout):
            reader, writer = await asyncio.open_connection(self._host, self._port, ssl=tls, limit=_HEAD_LIMIT)
        return _Wire(reader, writer)

    def _head(self, operation: str, body: bytes) -> bytes:
        headers = self._signer.sign(
            {
                "content-type": self._content_type,
                "host": self._authority,
                "x-amz-target": f"{self._target}.{operation}",
            },
            body,
            self._clock(),
        )
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST / HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n".encode("latin-1")


class Signer:
    """Signature Version 4 for POST requests to ``/``."""

    def __init__(self, key: AccessKey, region: str, service: str) -> None:
        self._key = key
        self._region = region
        self._service = service
        self._day = ""
        self._day_key = b""

    def sign(self, headers: Mapping[str, str], body: bytes, now: float) -> dict[str, str]:
        """``headers`` (names in lower case, all of them signed) with the date, the session's token and the
        signature. ``now``: Unix seconds."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        signed = {**headers, "x-amz-date": stamp}
        if self._key.token:
            signed["x-amz-security-token"] = self._key.token
        names = sorted(signed)
        listed = ";".join(names)
        lines = "".join(f"{name}:{signed[name]}\n" for name in names)
        request = f"POST\n/\n\n{lines}\n{listed}\n{hashlib.sha256(body).hexdigest()}"
        scope = f"{stamp[:8]}/{self._region}/{self._service}/aws4_request"
        digest = hashlib.sha256(request.encode()).hexdigest()
        signature = _hmac(self._key_of(stamp[:8]), f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}").hex()
        signed["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self._key.id}/{scope}, SignedHeaders={listed}, Signature={signature}"
        )
        return signed

    def _key_of(self, day: str) -> bytes:
        if day != self._day:
            key = f"AWS4{self._key.secret}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = _hmac(key, part)
            self._day, self._day_key = day, key
        return self._day_key


class _Wire:
    """One connection, one exchange at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self.used_at = 0.0

    def alive(self) -> bool:
        """Whether it may be used: nobody has closed it, and it is of the loop that now runs."""
        return not self._writer.is_closing() and not self._reader.at_eof() and self._loop is asyncio.get_running_loop()

    def drop(self) -> None:
        """Close it without ceremony."""
        if not self._loop.is_closed():
            self._writer.transport.abort()

    async def exchange(self, message: bytes) -> tuple[int, bool, bytes]:
        """Status, whether the connection may be kept, and body. Raises OSError, EOFError, ValueError."""
        self._writer.write(message)
        await self._writer.drain()
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError as error:
            raise ValueError(f"not an HTTP answer: {error}") from None
        lines = head.decode("latin-1").split("\r\n")
        version, _, rest = lines[0].partition(" ")
        pairs = (line.partition(":") for line in lines[1:] if line)
        headers = {name.strip().lower(): value.strip().lower() for name, _, value in pairs}
        status = int(rest[:3])
        keep = version == "HTTP/1.1" and headers.get("connection") != "close"
        if headers.get("transfer-encoding") == "chunked":
            return status, keep, await self._chunks()
        if "content-length" in headers:
            return status, keep, await self._reader.readexactly(int(headers["content-length"]))
        return status, False, await self._reader.read()

    async def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        while await self._reader.readuntil(b"\r\n") != b"\r\n":  # trailers mean nothing here
            continue
        return b"".join(parts)


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _to_base64(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    raise TypeError(f"a call cannot hold {type(value).__name__}")


def _from_base64(value: dict[str, Any]) -> dict[str, Any]:
    """In DynamoDB's notation an object with the one member B, a string, is always binary data; SSM has none such."""
    if len(value) == 1 and isinstance(data := value.get("B"), str):
        return {"B": base64.b64decode(data)}
    return value


def _error(status: int, answer: Mapping[str, Any]) -> dict[str, Any]:
    """A refusal in the form in which botocore gives it."""
    code = str(answer.get("__type", "")).rpartition("#")[2]
    message = answer.get("message") or answer.get("Message") or ""
    return {
        **answer,
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
