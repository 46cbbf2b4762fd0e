"""Lambda function URLs on one machine: the front that clients talk to, over environments that run the real runtime.

One origin serves every function, by path prefix. A request gets an idle environment or a new process, exactly one
request at a time in each; what the function writes reaches the client at once; a client that goes away is not noticed
by the function, as on Lambda. Nothing is faked between the exec wrapper and the Runtime API, so what works here is the
code that runs deployed. Not emulated: freezing between requests, the bandwidth cap behind a stream's first 6 MB, and
the header names that Lambda rewrites.

    async with Emulator([Function("models", Path("functions/models"), ("/v1/models",))]) as emulator:
        print(emulator.url)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import uvicorn

from dev.function_url import (
    REQUEST_LIMIT,
    STREAMED_RESPONSE_LIMIT,
    Head,
    error_answer,
    event_of,
)
from dev.lambda_environment import Environment, Invocation
from dev.lambda_function import Function, FunctionFailed

__all__ = ["Emulator", "Environment", "Function", "FunctionFailed", "RequestTiming", "in_thread"]

_Message = dict[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]

_DRAIN_LIMIT = 16  # times the request limit: so much of an oversized body is read so that its sender sees the 413
_TIMINGS = 10_000  # requests remembered
# Seconds that an environment which has answered gets to ask for the next event before another one is started. Lambda's
# clients are a network away and rarely come back sooner; one on this machine does after every answer.
_GRACE = 0.05
_BACKLOG = 1024
_KEEP_ALIVE = 75  # seconds; longer than the pools of common clients, so that these close first


@dataclass(frozen=True, slots=True)
class RequestTiming:
    """When what happened to a request, in ``time.perf_counter()`` seconds.

    ``handed - received`` and ``finished - answered`` are the emulator's own time, apart from waiting for an
    environment (``waited`` seconds); ``answered - handed`` is the function's, from event to prelude.
    """

    function: str
    received: float
    waited: float
    handed: float
    answered: float
    finished: float


class _Throttled(Exception):
    """All environments are busy and no more may be started."""


class _ClientGone(Exception):
    """The client closed its connection before its request was complete; there is nobody to answer."""


class _Pool:
    """The environments of one function."""

    def __init__(self, function: Function, emulator: Emulator) -> None:
        self.function = function
        self.environments: set[Environment] = set()
        self._emulator = emulator
        self._idle: list[Environment] = []
        self._waiting: deque[asyncio.Future[Environment]] = deque()

    async def acquire(self) -> Environment:
        """An idle environment, the one used last first. Raises ``FunctionFailed`` if the one started for it fails."""
        if self._idle:
            return self._idle.pop()
        if len(self.environments) >= self._emulator.max_concurrency and self._emulator.overflow == "throttle":
            raise _Throttled
        waiter: asyncio.Future[Environment] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        finishing = sum(environment.finishing for environment in self.environments)
        if len(self._waiting) > finishing:
            self._grow()
        else:
            asyncio.get_running_loop().call_later(_GRACE, self._grow)
        return await waiter

    def start(self) -> Environment:
        """Start another environment."""
        emulator = self._emulator
        environment = Environment(self.function, self._on_idle, self._on_gone, emulator.log, emulator.init_timeout)
        self.environments.add(environment)
        return environment

    def _grow(self) -> None:
        """Start an environment for each waiting request that none is being started for yet."""
        if self._emulator.stopping:
            return
        starting = sum(environment.state == "starting" for environment in self.environments)
        room = self._emulator.max_concurrency - len(self.environments)
        for _ in range(min(room, len(self._waiting) - starting)):
            self.start()

    def _on_idle(self, environment: Environment) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(environment)
                return
        self._idle.append(environment)

    def _on_gone(self, environment: Environment, failure: FunctionFailed) -> None:
        self.environments.discard(environment)
        if environment in self._idle:
            self._idle.remove(environment)
        if environment.ready.exception() is not None and self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(failure)
        self._grow()


class Emulator:
    """A front for functions, started with ``await start()`` and stopped with ``await stop()``.

    ``port`` 0 takes a free one (see ``url``). ``max_concurrency`` is per function; what exceeds it waits
    (``overflow="queue"``) or gets Lambda's 429 (``"throttle"``). ``request_limit`` is the size of a whole event and
    ``response_limit`` that of a streamed body, in bytes. With ``timing_header`` each answer says in
    ``x-emulator-timing`` how many milliseconds were spent waiting for an environment, in the function until its
    prelude, and in total until then. ``log`` gets a line for each line that a function writes.
    """

    def __init__(
        self,
        functions: Sequence[Function],
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        max_concurrency: int = 32,
        overflow: Literal["queue", "throttle"] = "queue",
        request_limit: int = REQUEST_LIMIT,
        response_limit: int = STREAMED_RESPONSE_LIMIT,
        init_timeout: float = 30.0,
        timing_header: bool = False,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.max_concurrency = max_concurrency
        self.overflow = overflow
        self.request_limit = request_limit
        self.response_limit = response_limit
        self.init_timeout = init_timeout
        self.timing_header = timing_header
        self.log = log or _to_stderr
        self.stopping = False
        self.timings: deque[RequestTiming] = deque(maxlen=_TIMINGS)
        """The last requests, oldest first."""
        self._pools = {function.name: _Pool(function, self) for function in functions}
        routes = [
            (route.rstrip("/"), self._pools[function.name]) for function in functions for route in function.routes
        ]
        self._routes = sorted(routes, key=lambda route: len(route[0]), reverse=True)
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """The origin, without a slash at its end."""
        return f"http://{self.host}:{self.port}"

    def environments(self, name: str) -> list[Environment]:
        """The environments that a function has now."""
        return list(self._pools[name].environments)

    async def start(self) -> None:
        """Listen. On return requests are accepted; environments are started by requests, or by ``prewarm``."""
        # asyncio turns Nagle's delay off only for sockets that name their protocol, which create_server's do not;
        # with it the first event of a stream waits 40 ms for the client to acknowledge the headers.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self.port))
        listener.listen(_BACKLOG)
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._front,
            log_config=None,
            access_log=False,
            interface="asgi3",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE,
            backlog=_BACKLOG,
        )
        self._server = uvicorn.Server(config)
        # Signals belong to the program around it.
        self._server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
        logging.getLogger("uvicorn.error").addFilter(_not_a_cut)
        self._serving = asyncio.create_task(self._server.serve([listener]))

    async def prewarm(self, name: str | None = None, count: int = 1) -> None:
        """Start environments until a function (or each) has ``count``, and wait until all of them are ready.

        Raises ``FunctionFailed``, with the log, if one cannot start.
        """
        for pool in [self._pools[name]] if name else self._pools.values():
            for _ in range(count - len(pool.environments)):
                pool.start()
        chosen = [self._pools[name]] if name else self._pools.values()
        await asyncio.gather(*(environment.ready for pool in chosen for environment in list(pool.environments)))

    async def stop(self) -> None:
        """End every process and stop listening. Requests under way are cut."""
        self.stopping = True
        environments = [environment for pool in self._pools.values() for environment in pool.environments]
        await asyncio.gather(*(environment.stop() for environment in environments))
        if self._server is not None and self._serving is not None:
            self._server.should_exit = self._server.force_exit = True
            await self._serving
            logging.getLogger("uvicorn.error").removeFilter(_not_a_cut)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _route(self, path: str) -> _Pool | None:
        for prefix, pool in self._routes:
            if path == prefix or path.startswith(prefix + "/"):
                return pool
        return None

    async def _front(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """The ASGI application that uvicorn serves."""
        received = time.perf_counter()
        request_id = str(uuid.uuid4())
        if scope["type"] != "http":
            raise NotImplementedError("a function URL speaks plain HTTP only")
        try:
            body = await _read_body(receive, self.request_limit)
        except _ClientGone:
            return
        pool = self._route(scope["path"])
        if pool is None:
            await _answer(send, request_id, *error_answer(404, f"No function serves {scope['path']}"))
            return
        event = b""
        if body is not None:
            event = json.dumps(event_of(scope, body, request_id, pool.function.name)).encode()
        if body is None or len(event) > self.request_limit:
            message = f"Request must be smaller than {self.request_limit} bytes for the InvokeFunction operation"
            await _answer(send, request_id, *error_answer(413, message))
            return
        waited = time.perf_counter()
        try:
            environment = await pool.acquire()
        except _Throttled:
            await _answer(send, request_id, *error_answer(429, "Rate Exceeded."))
            return
        except FunctionFailed as failure:
            await _answer(send, request_id, *_bad_gateway(failure))
            return
        waited = time.perf_counter() - waited

        async def start(head: Head) -> None:
            headers = [*head.headers, (b"x-amzn-requestid", request_id.encode())]
            if self.timing_header:
                spans = {
                    "wait": waited,
                    "function": invocation.answered_at - invocation.handed_at,
                    "total": invocation.answered_at - received,
                }
                value = ", ".join(f"{name}={seconds * 1000:.3f}" for name, seconds in spans.items())
                headers.append((b"x-emulator-timing", value.encode()))
            await send({"type": "http.response.start", "status": head.status, "headers": headers})

        async def write(data: bytes) -> None:
            await send({"type": "http.response.body", "body": data, "more_body": True})

        invocation = Invocation(event, request_id, start, write, self.response_limit)
        environment.invoke(invocation)
        try:
            await invocation.outcome
        except FunctionFailed as failure:
            self.log(f"[{pool.function.name} {environment.pid}] {failure}")
            if not invocation.answered_at:
                await _answer(send, request_id, *_bad_gateway(failure))
            # Otherwise to return without the last message makes uvicorn cut the connection.
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        self.timings.append(
            RequestTiming(
                function=pool.function.name,
                received=received,
                waited=waited,
                handed=invocation.handed_at,
                answered=invocation.answered_at,
                finished=time.perf_counter(),
            )
        )


@contextlib.contextmanager
def in_thread(emulator: Emulator, *, prewarm: int = 0) -> Iterator[Emulator]:
    """Run an emulator on an event loop in a thread of its own, for callers that have none or block theirs. ``prewarm``
    environments of each function are ready before it is handed out."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="lambda-emulator", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(emulator.start(), loop).result()
        try:
            if prewarm:
                asyncio.run_coroutine_threadsafe(emulator.prewarm(count=prewarm), loop).result()
            yield emulator
        finally:
            asyncio.run_coroutine_threadsafe(emulator.stop(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _read_body(receive: _Receive, limit: int) -> bytes | None:
    """The request's body, or None if it is larger than ``limit``. Raises ``_ClientGone``."""
    parts: list[bytes] = []
    size = 0
    while size <= limit * _DRAIN_LIMIT:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size <= limit:
            parts.append(part)
        if not message.get("more_body", False):
            break
    return b"".join(parts) if size <= limit else None


async def _answer(send: _Send, request_id: str, head: Head, body: bytes) -> None:
    headers = [*head.headers, (b"x-amzn-requestid", request_id.encode())]
    await send({"type": "http.response.start", "status": head.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _bad_gateway(failure: FunctionFailed) -> tuple[Head, bytes]:
    return error_answer(
        502, "Internal Server Error", errorType=failure.kind, errorMessage=failure.message, log=failure.log
    )


def _not_a_cut(record: logging.LogRecord) -> bool:
    """uvicorn calls it an error when an answer is cut on purpose; the emulator has already logged why."""
    return "returned without completing response" not in record.getMessage()


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
