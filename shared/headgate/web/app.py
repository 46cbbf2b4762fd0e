"""Puts one function's application together."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from headgate import __version__
from headgate.errors import GatewayError
from headgate.web.edge import Edge
from headgate.web.services import Services


def build_app(*routers: APIRouter, services: Services | None = None) -> FastAPI:
    """The ASGI application that serves ``routers``. ``services`` replaces what the environment configures (tests)."""
    services = services or Services.from_environment()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        await services.start()
        yield
        await services.stop()

    app = FastAPI(title="Headgate", version=__version__, lifespan=lifespan, redirect_slashes=False, docs_url=None)
    app.state.services = services
    app.state.on_restore = [services.restored]
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(Edge, observer=services.observer, origin_secret=services.settings.origin_secret)
    return app


async def _http_error(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405, in the protocol's envelope."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        message = f"Method {request.method} is not allowed for {request.url.path}."
        raise GatewayError(
            405, "invalid_request_error", "method_not_allowed", message, headers=dict(error.headers or {})
        )
    raise GatewayError(
        error.status_code,
        "not_found_error",
        "unknown_url",
        f"Unknown request URL: {request.method} {request.url.path}.",
    )
