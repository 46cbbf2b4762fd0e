"""One asynchronous connection to an AWS service: a botocore client that never blocks the event loop, three exceptions.

botocore is synchronous, so its calls run in a few threads of their own. The client is made on first use (or by
``connect`` while a function initialises) and made anew after ``recreate``, which a restored snapshot needs, because
pooled connections and credentials do not survive one. ``AWS_ENDPOINT_URL_DYNAMODB`` and ``AWS_ENDPOINT_URL_S3`` are
honoured by botocore itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from headgate import __version__
from headgate.errors import GatewayError

T = TypeVar("T")

_TRANSIENT = frozenset(
    {
        "InternalFailure",
        "InternalServerError",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "SlowDown",
        "ThrottlingException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)


class StoreUnavailable(GatewayError):
    """503: the store did not answer in time, or refuses for now. The client may retry."""

    def __init__(self, reason: str = "") -> None:
        message = "The gateway's store is not available right now. Please retry."
        super().__init__(503, "service_unavailable", "store_unavailable", message, retry_after=1)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason or self.message


class StoreFault(GatewayError):
    """500: the store refuses for good (a missing table or permission, a defect of ours), or what it holds is damaged.
    ``reason`` is for the log; the client is not shown it."""

    def __init__(self, reason: str) -> None:
        super().__init__(500, "server_error", "internal_error", "An unexpected error occurred. Please try again.")
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class ConditionFailed(Exception):
    """A condition did not hold and nothing was written. ``old`` is the item as it stands, None where there is none;
    it is a DynamoDB item here and a plain one when ``Table`` raises it. ``codes`` is set for transactions: one per
    action, ``"None"`` where that action was fine."""

    def __init__(self, old: dict[str, Any] | None = None, codes: Sequence[str] = ()) -> None:
        super().__init__("the condition did not hold")
        self.old = old
        self.codes = tuple(codes)


class Caller(Protocol):
    """What ``Table`` and ``Secrets`` need of a client: ``Connection`` here, or ``aws_json.AwsJson``."""

    def connect(self) -> object: ...
    def recreate(self) -> None: ...
    async def call(self, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]: ...
    async def run(self, work: Callable[[], T]) -> T: ...


class Connection:
    """A lazily made client of one AWS service, with threads to call it in.

    ``workers`` bounds the calls in flight; ``timeout`` is seconds for the answer to one attempt, of which a call makes
    at most three. ``factory`` makes the client instead of botocore (tests).
    """

    def __init__(
        self,
        service: str,
        region: str | None = None,
        *,
        workers: int = 8,
        timeout: float = 5.0,
        factory: Callable[[], Any] | None = None,
    ) -> None:
        self._workers = workers
        self._service = service
        self._factory = factory or (lambda: make_client(service, region, workers=workers, timeout=timeout))
        self._lock = threading.Lock()
        self._client: Any = None
        self._pool: ThreadPoolExecutor | None = None

    def connect(self) -> Any:
        """The client, made now if there is none yet. No network traffic."""
        client = self._client
        if client is None:
            with self._lock:
                if self._client is None:
                    self._client = self._factory()
                client = self._client
        return client

    def recreate(self) -> None:
        """Drop the client, its connections and the threads; the next call makes new ones. Also how to close."""
        with self._lock:
            client, self._client = self._client, None
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)
        if client is not None:
            client.close()

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking work in this connection's threads."""
        pool = self._pool
        if pool is None:
            with self._lock:
                if self._pool is None:
                    self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix=f"headgate-{self._service}")
                pool = self._pool
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    async def call(self, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Call a client method (``put_item`` …) with AWS's own parameters. Raises ``ConditionFailed``,
        ``StoreUnavailable``, ``StoreFault``."""
        return await self.run(lambda: self.call_blocking(method, parameters))

    async def download(self, parameters: Mapping[str, Any]) -> bytes:
        """The whole content of an S3 object. Raises as ``call`` does."""
        return await self.run(lambda: self._guarded(lambda: self.connect().get_object(**parameters)["Body"].read()))

    def call_blocking(self, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The same from ordinary code, in the caller's thread."""
        return self._guarded(lambda: getattr(self.connect(), method)(**parameters))

    def _guarded(self, work: Callable[[], T]) -> T:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return work()
        except ClientError as error:
            raise translate_error(error.response) from error
        except BotoCoreError as error:
            raise _broken(error) from error


def make_client(service: str, region: str | None, *, workers: int = 8, timeout: float = 5.0) -> Any:
    """A botocore client set up for short calls from a function.

    The user agent is fixed because botocore otherwise composes it twice per call, a fifth of the call's CPU time.
    Parameters are not validated for the same reason: they are made by this package only.
    """
    import botocore
    from botocore.config import Config
    from botocore.session import get_session

    config = Config(
        user_agent=f"headgate/{__version__} Botocore/{botocore.__version__}",
        parameter_validation=False,
        disable_request_compression=True,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        tcp_keepalive=True,
        max_pool_connections=workers,
        connect_timeout=min(2.0, timeout),
        read_timeout=timeout,
        retries={"mode": "standard", "total_max_attempts": 3},
    )
    return get_session().create_client(service, region_name=region, config=config)


def translate_error(response: Mapping[str, Any]) -> Exception:
    """The exception for a refusal in botocore's form: ``Error`` with ``Code`` and ``Message``, the HTTP status under
    ``ResponseMetadata``, and ``Item`` or ``CancellationReasons`` where a condition failed."""
    error = response.get("Error", {})
    code = str(error.get("Code", ""))
    if code == "ConditionalCheckFailedException":
        return ConditionFailed(response.get("Item"))
    if code == "TransactionCanceledException":
        reasons: list[dict[str, Any]] = response.get("CancellationReasons", [])
        codes = [str(reason.get("Code", "None")) for reason in reasons]
        if "ConditionalCheckFailed" in codes:
            return ConditionFailed(reasons[codes.index("ConditionalCheckFailed")].get("Item"), codes)
        if any(code in ("TransactionConflict", "ThrottlingError") for code in codes):
            return StoreUnavailable(f"transaction cancelled: {codes}")
    text = f"{code}: {error.get('Message', '')}"
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return StoreUnavailable(text) if code in _TRANSIENT or status >= 500 else StoreFault(text)


def _broken(error: Exception) -> Exception:
    from botocore.exceptions import ConnectionError as BotoConnectionError
    from botocore.exceptions import HTTPClientError

    text = f"{type(error).__name__}: {error}"
    return StoreUnavailable(text) if isinstance(error, HTTPClientError | BotoConnectionError) else StoreFault(text)
