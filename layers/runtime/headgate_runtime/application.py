"""The function: its handler module, its ASGI application and the application's start and stop."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from mangum.handlers import HTTPGateway

from headgate_runtime.context import Context
from headgate_runtime.faults import InitError
from headgate_runtime.logs import logger

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

_MANGUM_CONFIG = {"api_gateway_base_path": "/", "text_mime_types": [], "exclude_headers": []}


@dataclass(frozen=True, slots=True)
class Function:
    """What a handler module offers: ``app`` for HTTP events, the named handler for all others. One may be missing."""

    app: Application | None
    handler: Callable[[Any, Context], Any] | None


def load(name: str) -> Function:
    """Import the module of ``_HANDLER`` (``app.handler`` is module ``app``). Raises ``InitError``."""
    module_name, _, attribute = name.rpartition(".")
    if not module_name:
        raise InitError("Runtime.MalformedHandlerName", f"the handler {name!r} is not of the form module.attribute")
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except SyntaxError as error:
        raise InitError("Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_name}': {error}") from error
    except ImportError as error:
        raise InitError("Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}") from error
    function = Function(getattr(module, "app", None), getattr(module, attribute, None))
    if function.app is None and function.handler is None:
        raise InitError("Runtime.HandlerNotFound", f"Module '{module_name}' has neither 'app' nor '{attribute}'")
    return function


def is_http(event: Any) -> bool:
    """Whether an event came through a function URL or an HTTP API, and not from a schedule, a queue or a test."""
    return isinstance(event, dict) and "http" in (event.get("requestContext") or {}) and event.get("version") == "2.0"


def scope_and_body(event: Message, context: Context, state: Message) -> tuple[Message, bytes]:
    """The ASGI scope and the whole body of a function URL event.

    Beside what Mangum puts in (``aws.event``, ``aws.context``) the scope has ``headgate.deadline``, the time at which
    Lambda ends this invocation, in milliseconds since the epoch.
    """
    gateway = HTTPGateway(event, context, _MANGUM_CONFIG)  # type: ignore[arg-type]
    scope: Message = dict(gateway.scope)
    scope["raw_path"] = event.get("rawPath", scope["path"]).encode()
    # From 2.4 on frameworks need no watcher task for a disconnect, which on Lambda is never signalled.
    scope["asgi"] = {"version": "3.0", "spec_version": "2.4"}
    scope["state"] = state.copy()
    scope["headgate.deadline"] = context.deadline_ms
    return scope, gateway.body


class Lifespan:
    """The ASGI lifespan protocol: started once when the process starts, stopped if it is told to end."""

    def __init__(self, app: Application) -> None:
        self.state: Message = {}
        self._app = app
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._answer: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Run the application's start-up. Raises ``InitError`` if it says that it failed."""
        self._task = asyncio.create_task(self._run())
        answer = await self._exchange("lifespan.startup")
        if answer["type"] == "lifespan.startup.failed":
            raise InitError("Runtime.StartupFailed", f"The application did not start: {answer.get('message', '')}")

    async def stop(self) -> None:
        """Run the application's shutdown, if it takes part."""
        if self._task is not None and not self._task.done():
            answer = await self._exchange("lifespan.shutdown")
            if answer["type"] == "lifespan.shutdown.failed":
                logger.error("the application's shutdown failed: %s", answer.get("message", ""))

    async def _exchange(self, kind: str) -> Message:
        self._inbox.put_nowait({"type": kind})
        return await self._answer.get()

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._inbox.get, self._answer.put)
        except Exception:  # noqa: BLE001 - the protocol: an application that raises here has no lifespan
            logger.debug("the application does not take part in the lifespan protocol", exc_info=True)
        self._answer.put_nowait({"type": "lifespan.unsupported"})


def call_handler(handler: Callable[[Any, Context], Any], event: Any, context: Context) -> bytes:
    """Run a plain handler as the stock loop would, for a worker thread: it may want an event loop of its own."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return json.dumps(handler(event, context)).encode()
    finally:
        asyncio.set_event_loop(None)
        loop.close()
