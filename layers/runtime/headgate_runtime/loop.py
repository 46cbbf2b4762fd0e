"""The runtime's life: start the function, then one event after the other."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import json
import os
import random
import signal
from collections.abc import Mapping
from typing import Any

from headgate_runtime import hooks
from headgate_runtime.api import PREFIX, Invocation, RuntimeApi
from headgate_runtime.application import (
    Application,
    Function,
    Lifespan,
    Message,
    call_handler,
    is_http,
    load,
    scope_and_body,
)
from headgate_runtime.context import Context
from headgate_runtime.faults import describe
from headgate_runtime.logs import logger, request_id
from headgate_runtime.response import StreamedResponse

# The stock runtime's exit codes for a snapshot that could not be taken or woken.
_BEFORE_SNAPSHOT_FAILED = 64
_AFTER_RESTORE_FAILED = 65


async def serve(environ: Mapping[str, str]) -> int:
    """Serve events until the process is told to end; returns the exit code.

    An error of the start is reported to Lambda and ends the process, which Lambda then replaces.
    """
    api = RuntimeApi(environ["AWS_LAMBDA_RUNTIME_API"])
    lifespan: Lifespan | None = None
    # What imports make is there to stay: looking through it for garbage is 4 % of a cold start, and a pause later on.
    gc.disable()
    try:
        function = load(environ["_HANDLER"])
        if function.app is not None:
            lifespan = Lifespan(function.app)
            await lifespan.start()
    except Exception as error:  # noqa: BLE001 - whatever it is, Lambda is told
        logger.exception("the function could not be started")
        await _report(api, f"{PREFIX}/init/error", error)
        return 1
    gc.freeze()
    gc.enable()
    if environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start" and (failed := await _restore(api, function.app)):
        return failed
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _current_task().cancel)
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            invocation = await api.next()
            # A task of its own for each event, so that context variables end with the event that set them.
            await asyncio.create_task(_handle(api, function, lifespan, invocation))
    if lifespan is not None:
        await lifespan.stop()
    return 0


async def _handle(api: RuntimeApi, function: Function, lifespan: Lifespan | None, invocation: Invocation) -> None:
    request_id.set(invocation.request_id)
    os.environ["_X_AMZN_TRACE_ID"] = invocation.trace_id or ""  # where the X-Ray SDK and Powertools look for it
    try:
        event = json.loads(invocation.event)
        context = Context(invocation)
        if function.app is not None and lifespan is not None and is_http(event):
            await _serve_http(api, function.app, lifespan.state, event, context, invocation)
        elif function.handler is not None:
            result = await asyncio.to_thread(call_handler, function.handler, event, context)
            content_type = ("Content-Type", "application/json")
            reply = await api.call("POST", invocation.path("response"), [content_type, *invocation.echo()], result)
            if reply.status >= 300:
                logger.error("the Runtime API answered %d to a response", reply.status)
        else:
            raise TypeError("this function has no handler for events that are not HTTP requests")
    except Exception as error:  # noqa: BLE001 - whatever it is, Lambda is told
        logger.exception("the invocation failed")
        await _report(api, invocation.path("error"), error, invocation)


async def _serve_http(
    api: RuntimeApi, app: Application, state: Message, event: Message, context: Context, invocation: Invocation
) -> None:
    """Run the application once. Raises what it raised if no byte of an answer has left.

    The answer is complete with the last body message; the application may go on working after that, and only when it
    has returned is the next event asked for.
    """
    scope, body = scope_and_body(event, context, state)
    response = StreamedResponse(api, invocation)
    request: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if request:
            return request.pop()
        await response.finished.wait()
        return {"type": "http.disconnect"}

    try:
        try:
            await app(scope, receive, response.send)
        except asyncio.CancelledError as error:
            if _current_task().cancelling():  # the process is being ended
                raise
            raise RuntimeError("the application let a cancellation of its own escape") from error
        if not response.finished.is_set():
            raise RuntimeError("the application returned without completing its response")
    except Exception as error:
        response.fail(error)
        if not response.opened:
            raise
        logger.exception("the application failed after its response had begun")
    await response.settle()


async def _restore(api: RuntimeApi, app: Application | None) -> int:
    """Wait where SnapStart takes its snapshot, then run the restore hooks. Returns an exit code if that fails."""
    try:
        reply = await api.call("GET", f"{PREFIX}/restore/next")
        if reply.status != 200:
            raise RuntimeError(f"the Runtime API answered {reply.status} to a request for the restore")
    except Exception as error:  # noqa: BLE001 - whatever it is, Lambda is told
        logger.exception("the snapshot failed")
        await _report(api, f"{PREFIX}/init/error", error, kind="Runtime.BeforeSnapshotError")
        return _BEFORE_SNAPSHOT_FAILED
    # Every process restored from one snapshot would otherwise draw the same numbers.
    random.seed()
    try:
        for hook in [*hooks.registered(), *getattr(getattr(app, "state", None), "on_restore", ())]:
            result: Any = hook()
            if inspect.isawaitable(result):
                await result
    except Exception as error:  # noqa: BLE001 - whatever it is, Lambda is told
        logger.exception("a restore hook failed")
        await _report(api, f"{PREFIX}/restore/error", error, kind="Runtime.AfterRestoreError")
        return _AFTER_RESTORE_FAILED
    return 0


async def _report(
    api: RuntimeApi, path: str, error: BaseException, invocation: Invocation | None = None, kind: str | None = None
) -> None:
    fault = describe(error, invocation.request_id if invocation else "")
    headers = [
        ("Content-Type", "application/vnd.aws.lambda.error+json"),
        ("Lambda-Runtime-Function-Error-Type", kind or fault["errorType"]),
        *(invocation.echo() if invocation else ()),
    ]
    reply = await api.call("POST", path, headers, json.dumps(fault).encode())
    if reply.status >= 300:
        logger.error("the Runtime API answered %d to an error report", reply.status)


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None  # only ever called inside a coroutine
    return task
