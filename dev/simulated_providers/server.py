"""The simulated vendors as one application, and a server for it.

``/openai/v1``, ``/anthropic/v1``, ``/vertex`` (Gemini, Claude and others), ``/bedrock``, ``/azure`` (OpenAI's models
and Claude), ``/cohere`` and the mounts of the dialects (``/xai/v1`` …) are the vendors. Beside them, for tests:
    GET /_recorded?path=&header=&marker=   the requests received (recorder.py), oldest first
    DELETE /_recorded                      forgets them
    POST /_behave                          {"directives", "path", "marker", "times"}: coming requests get these
    DELETE /_behave                        forgets these
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from . import chat, cohere, converse, gemini, messages, openai_http, responses
from .dialects import DIALECTS
from .recorder import Recorded
from .world import Behaviour, World

_ANY = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_CLAUDE = "projects/{project}/locations/{location}/publishers/anthropic/models/{call:path}"


def create_app(*, models: tuple[str, ...] = ()) -> Starlette:
    """A fresh set of simulated vendors. ``models`` are accepted beside each vendor's own families."""
    openai, anthropic = "/openai/v1", "/anthropic/v1"
    routes = [
        *_dialect_routes(),
        Route(f"{openai}/responses/input_tokens", responses.count_tokens, methods=["POST"]),
        Route(f"{openai}/models", openai_http.models),
        Route(f"{openai}/models/{{model:path}}", openai_http.models),
        Route(f"{anthropic}/messages", messages.create, methods=["POST"]),
        Route(f"{anthropic}/messages/count_tokens", messages.count_tokens, methods=["POST"]),
        Route(f"{anthropic}/models", messages.models),
        Route(f"{anthropic}/models/{{model:path}}", messages.models),
        Route("/openai/{rest:path}", openai_http.no_such_path, methods=_ANY),
        Route("/anthropic/{rest:path}", messages.no_such_path, methods=_ANY),
        Route(f"/vertex/v1/{_CLAUDE}", messages.at_vertex, methods=["POST"]),
        *gemini.routes(),
        Route("/azure/anthropic/v1/messages", messages.create_at_azure, methods=["POST"]),
        Route("/azure/anthropic/v1/messages/count_tokens", messages.count_at_azure, methods=["POST"]),
        # An ARN has slashes, escaped or not.
        Route("/bedrock/model/{model:path}/converse", converse.create, methods=["POST"]),
        Route("/bedrock/model/{model:path}/converse-stream", converse.create, methods=["POST"]),
        Route("/bedrock/model/{model:path}/count-tokens", converse.count_tokens, methods=["POST"]),
        Route("/cohere/v2/chat", cohere.create, methods=["POST"]),
        Route("/_recorded", _recorded, methods=["GET", "DELETE"]),
        Route("/_behave", _behave, methods=["POST", "DELETE"]),
    ]
    app = Starlette(routes=routes)
    # The vendors do not redirect a path with a trailing slash.
    app.router.redirect_slashes = False
    app.state.world = World(models=models)
    return app


def _dialect_routes() -> list[Route]:
    endpoints = {"chat_completions": chat.endpoint, "responses": responses.endpoint}
    return [
        Route(path, endpoints[name](dialect), methods=["POST"])
        for dialect in DIALECTS
        for name, path in dialect.mounts.items()
    ]


async def _recorded(request: Request) -> JSONResponse:
    world: World = request.app.state.world
    if request.method == "DELETE":
        world.recorder.clear()
        return JSONResponse({})
    wanted = {name: request.query_params.get(name, "") for name in ("path", "header", "marker")}
    return JSONResponse(world.recorder.listed(**wanted))


async def _behave(request: Request) -> JSONResponse:
    world: World = request.app.state.world
    with world.lock:
        if request.method == "DELETE":
            world.behaviours.clear()
        else:
            world.behaviours.append(Behaviour(**await request.json()))
    return JSONResponse({})


@dataclass
class Running:
    """A running server. ``url`` has no path: add ``/openai/v1`` or ``/anthropic/v1``."""

    url: str
    port: int
    world: World

    def recorded(self, **wanted: str) -> list[Recorded]:
        """The requests received; filters as of Recorder.find."""
        return self.world.recorder.find(**wanted)

    def behave(self, directives: str, *, path: str = "", marker: str = "", times: int | None = 1) -> None:
        """Gives coming requests these directives."""
        with self.world.lock:
            self.world.behaviours.append(Behaviour(directives, path, marker, times))

    def clear(self) -> None:
        """Back to the beginning."""
        self.world.clear()


def configured(app: Starlette, port: int, host: str = "127.0.0.1") -> uvicorn.Config:
    """The server's configuration; its connections are known to the app, so that it can reset one."""
    connections = app.state.world.connections

    class Tracked(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if self.client is not None:
                connections[tuple(self.client)] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            if self.client is not None:
                connections.pop(tuple(self.client), None)
            super().connection_lost(exc)

    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Tracked,
        loop="asyncio",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )


@contextmanager
def serve(port: int = 0, *, models: tuple[str, ...] = ()) -> Generator[Running]:
    """Runs the simulated vendors in a thread on the loopback interface; port 0 is any free one."""
    app = create_app(models=models)
    server = uvicorn.Server(configured(app, port))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True, name="simulated-providers")
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the simulated providers did not start")
        time.sleep(0.01)
    bound = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Running(f"http://127.0.0.1:{bound}", bound, app.state.world)
    finally:
        server.should_exit = True
        thread.join(10)
