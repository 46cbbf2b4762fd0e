"""One Lambda execution environment on this machine: a function's process and the Runtime API server it talks to.

Each environment has a Runtime API of its own on a loopback port, since a function only knows ``host:port`` and has no
way to say which environment it is. The server is written on asyncio's streams: an answer has to be handed on while it
is still arriving, and may end with trailers, which HTTP server libraries do not show.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Literal

from dev.function_url import BUFFERED_RESPONSE_LIMIT, STREAMED, Head, MalformedPrelude, buffered_answer, split_prelude
from dev.http_wire import Body, json_object, read_head, reply
from dev.lambda_function import Function, FunctionFailed

_PREFIX = "/2018-06-01/runtime"
_LOG_LINES = 200  # kept per environment, to be shown with an error
_LAST_WORDS = 1.0  # seconds to wait for the log of a process that has ended
_SHUTDOWN = 3.0  # seconds between SIGTERM and SIGKILL


class Invocation:
    """One event on its way through an environment.

    ``start`` and ``write`` are awaited with the answer's head and then its body, piece by piece as they arrive;
    ``outcome`` is done when the answer is complete, or holds a ``FunctionFailed``. Times are ``time.perf_counter()``.
    """

    def __init__(
        self,
        event: bytes,
        request_id: str,
        start: Callable[[Head], Awaitable[None]],
        write: Callable[[bytes], Awaitable[None]],
        response_limit: int,
    ) -> None:
        self.event = event
        self.request_id = request_id
        self.invocation_id = uuid.uuid4().hex
        self.start = start
        self.write = write
        self.response_limit = response_limit
        self.outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answering = False
        self.handed_at = 0.0
        self.answered_at = 0.0


class Environment:
    """A process that serves one invocation at a time.

    ``on_idle`` is called each time it waits for an event, ``on_gone`` once when its process has ended, with what it
    died of. ``state`` counts as busy until the next event is asked for: work after the answer belongs to the answer.
    """

    def __init__(
        self,
        function: Function,
        on_idle: Callable[[Environment], None],
        on_gone: Callable[[Environment, FunctionFailed], None],
        log: Callable[[str], None],
        init_timeout: float,
    ) -> None:
        self.function = function
        self.id = uuid.uuid4().hex
        self.state: Literal["starting", "idle", "busy", "gone"] = "starting"
        self.served = 0
        self.log_lines: deque[str] = deque(maxlen=_LOG_LINES)
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self._on_idle = on_idle
        self._on_gone = on_gone
        self._log = log
        self._init_timeout = init_timeout
        self._process: asyncio.subprocess.Process | None = None
        self._next: asyncio.Future[Invocation] | None = None
        self._current: Invocation | None = None
        self._failure: FunctionFailed | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._life = loop.create_task(self._live())

    @property
    def pid(self) -> int | None:
        """The process id, once there is a process."""
        return self._process.pid if self._process else None

    @property
    def finishing(self) -> bool:
        """Whether its answer is complete, so that it may be idle in a moment."""
        return self.state == "busy" and self._current is not None and self._current.outcome.done()

    def invoke(self, invocation: Invocation) -> None:
        """Hand an event to the waiting process. Only for an idle environment."""
        if self._next is None or self._next.done():
            raise RuntimeError("the environment is not idle")
        self.state = "busy"
        self._current = invocation
        self._deadline(self.function.timeout, "Sandbox.Timedout", f"Task timed out after {self.function.timeout:.2f} s")
        self._next.set_result(invocation)

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        self._signal(signal.SIGKILL)

    async def stop(self) -> None:
        """Ask the process to end, make it if it does not, and wait until it has."""
        self._signal(signal.SIGTERM)
        done, _ = await asyncio.wait({self._life}, timeout=_SHUTDOWN)
        if not done:
            self._signal(signal.SIGKILL)
            await asyncio.wait({self._life})

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            self._life.cancel()
        elif self._process.returncode is None:
            # The group: a wrapper or a subprocess of the function must not outlive it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _deadline(self, seconds: float, kind: str, message: str) -> None:
        def expire() -> None:
            self._failure = self._failed(kind, message)
            self._log(f"[{self.function.name} {self.pid}] {message}")
            self.kill()

        self._timer = asyncio.get_running_loop().call_later(seconds, expire)

    def _failed(self, kind: str, message: str) -> FunctionFailed:
        return FunctionFailed(kind, message, list(self.log_lines))

    async def _live(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        failure = self._failed("Runtime.ExitError", "the environment was stopped before it had started")
        try:
            host, port = server.sockets[0].getsockname()
            self._process = process = await asyncio.create_subprocess_exec(
                *self.function.command(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=self.function.directory,
                env=self.function.variables(f"{host}:{port}", self.id),
                start_new_session=True,  # Ctrl-C on the emulator is the emulator's to handle
            )
            self._deadline(self._init_timeout, "Sandbox.Timedout", f"Init timed out after {self._init_timeout:.2f} s")
            assert process.stdout is not None and process.stderr is not None
            pumps = [asyncio.create_task(self._pump(stream)) for stream in (process.stdout, process.stderr)]
            code = await process.wait()
            await asyncio.wait(pumps, timeout=_LAST_WORDS)  # a grandchild may hold the pipes open
            for pump in pumps:
                pump.cancel()
            how = f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
            failure = self._failed("Runtime.ExitError", f"Runtime exited: {how}")
        except OSError as error:
            failure = self._failed("Runtime.InvalidEntrypoint", str(error))
        finally:
            self._gone(failure)
            server.close()

    def _gone(self, failure: FunctionFailed) -> None:
        failure = self._failure or failure
        failure.log = list(self.log_lines)
        self.state = "gone"
        self._cancel_timer()
        for connection in self._connections:
            connection.cancel()
        self._finish(failure)
        if not self.ready.done():
            self.ready.set_exception(failure)
            self.ready.exception()  # whoever does not wait for it still learns of it through on_gone
        self._on_gone(self, failure)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _finish(self, failure: FunctionFailed | None = None) -> None:
        """Settle the current invocation's outcome, once."""
        if self._current is not None and not self._current.outcome.done():
            if failure is None:
                self._current.outcome.set_result(None)
            else:
                self._current.outcome.set_exception(failure)

    async def _pump(self, stream: asyncio.StreamReader) -> None:
        rest = b""
        while data := await stream.read(65536):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._log_line(line)
        if rest:
            self._log_line(rest)

    def _log_line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").replace("\r", "\n")
        self.log_lines.append(text)
        self._log(f"[{self.function.name} {self.pid}] {text}")

    # The Runtime API

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while head := await read_head(reader):
                await self._serve(*head, reader, writer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            if self._current is not None and self._current.answering:
                self._finish(self._failed("Runtime.TruncatedResponse", f"the answer was cut short: {error}"))
        except asyncio.CancelledError:
            return  # by _gone, the only one to cancel it; Python 3.11 takes a cancelled handler for a broken one
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = Body(reader, headers)
        operation = f"{method} {path.removeprefix(_PREFIX)}"
        if operation == "GET /invocation/next":
            await self._serve_next(writer)
        elif operation == "GET /restore/next":
            reply(writer, 200)  # the snapshot is taken and woken in the same moment
        elif operation in ("POST /init/error", "POST /restore/error"):
            report = json_object(await body.whole())
            self._failure = self._failed(
                headers.get("lambda-runtime-function-error-type") or str(report.get("errorType")),
                str(report.get("errorMessage")),
            )
            reply(writer, 202)
        elif method == "POST" and operation.endswith(("/response", "/error")):
            status = await self._serve_result(operation.split("/")[2], operation.endswith("/error"), headers, body)
            reply(writer, status)
        else:
            await body.whole()
            reply(writer, 404)

    async def _serve_next(self, writer: asyncio.StreamWriter) -> None:
        self._cancel_timer()
        self._finish(self._failed("Runtime.NoResponse", "the function asked for the next event without an answer"))
        self._current = None
        self.state = "idle"
        self._next = asyncio.get_running_loop().create_future()
        if not self.ready.done():
            self.ready.set_result(None)
        self._on_idle(self)
        invocation = await self._next
        self.served += 1
        arn = f"arn:aws:lambda:us-east-1:000000000000:function:{self.function.name}"
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Invocation-Id": invocation.invocation_id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + self.function.timeout) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": arn,
            "Lambda-Runtime-Trace-Id": f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]};Sampled=0",
        }
        invocation.handed_at = time.perf_counter()
        reply(writer, 200, invocation.event, headers)

    async def _serve_result(self, request_id: str, is_error: bool, headers: dict[str, str], body: Body) -> int:
        invocation = self._current
        if invocation is None or invocation.request_id != request_id or invocation.outcome.done():
            await body.whole()
            return 400
        if headers.get("lambda-runtime-invocation-id", invocation.invocation_id) != invocation.invocation_id:
            await body.whole()
            return 410
        if is_error:
            report = json_object(await body.whole())
            self._finish(self._failed(str(report.get("errorType", "Unknown")), str(report.get("errorMessage", ""))))
            return 202
        invocation.answering = True
        try:
            if headers.get("lambda-runtime-function-response-mode", "").lower() == "streaming":
                await self._stream(invocation, headers, body)
            elif not await self._buffer(invocation, body):
                return 413
        except MalformedPrelude as error:
            await body.whole()
            self._finish(self._failed("Runtime.MalformedPrelude", str(error)))
            return 202
        if kind := body.trailers.get("lambda-runtime-function-error-type"):
            report = json_object(base64.b64decode(body.trailers.get("lambda-runtime-function-error-body", "")))
            self._finish(self._failed(kind, str(report.get("errorMessage", ""))))
        self._finish()
        return 202

    async def _stream(self, invocation: Invocation, headers: dict[str, str], body: Body) -> None:
        kind = headers.get("content-type", "application/octet-stream")
        start = b""
        size = 0
        async for piece in body.pieces():
            if not invocation.answered_at:
                start += piece
                opened = (
                    split_prelude(start) if kind == STREAMED else (Head(200, [(b"content-type", kind.encode())]), start)
                )
                if opened is None:
                    continue
                head, piece = opened
                invocation.answered_at = time.perf_counter()
                await invocation.start(head)
            size += len(piece)
            if size > invocation.response_limit:
                self._finish(self._failed("Function.ResponseSizeTooLarge", f"over {invocation.response_limit} bytes"))
            elif piece:
                await invocation.write(piece)
        if not invocation.answered_at:
            raise MalformedPrelude(f"the answer ended within its prelude: {start[:200]!r}")

    async def _buffer(self, invocation: Invocation, body: Body) -> bool:
        content = await body.whole()
        if len(content) > BUFFERED_RESPONSE_LIMIT:
            message = f"Response payload size exceeded maximum allowed payload size ({BUFFERED_RESPONSE_LIMIT} bytes)."
            self._finish(self._failed("Function.ResponseSizeTooLarge", message))
            return False
        head, payload = buffered_answer(content)
        invocation.answered_at = time.perf_counter()
        await invocation.start(head)
        await invocation.write(payload)
        return True
