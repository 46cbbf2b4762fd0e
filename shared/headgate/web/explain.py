"""``POST /v1/routes/explain``: where a request would go and why, without calling anyone.

The body is ``{"endpoint": "/v1/responses", "request": {…}}``, the request as it would be sent to that endpoint. The
answer is what the request log keeps of a decision, with the metric and the interval that it was made by; where no route
is left, ``error`` says what the client would have been told.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response

from headgate.errors import GatewayError, invalid_request
from headgate.providers.table import Protocol
from headgate.web.call import Call, json_response, serve
from headgate.web.routes import routes_for
from headgate.web.work import Work

router = APIRouter()

_ENDPOINTS: dict[str, Protocol] = {
    "/v1/responses": "responses",
    "/v1/chat/completions": "chat_completions",
    "/v1/messages": "messages",
}


@router.post("/v1/routes/explain")
async def explain_route(request: Request) -> Response:
    """The routing decision for a request."""
    return await serve(request, "responses", explain)


async def explain(call: Call) -> Response:
    """Validate the request as its endpoint would, decide, and say how."""
    endpoint, call.body = _asked(call.body)
    call.protocol = _ENDPOINTS[endpoint]
    # Of the other two frontends a function has nothing loaded.
    module = importlib.import_module(f"headgate.web.{call.protocol}")
    work_of: Callable[[Call], Awaitable[Work]] = module.work_of
    work = await work_of(call)
    said: dict[str, Any] = {
        "object": "route.explanation",
        "endpoint": endpoint,
        "model": work.model,
        "metric": work.options.metric.name,
        "interval_seconds": work.options.interval,
    }
    try:
        said |= (await routes_for(call, work, explaining=True)).row()
    except GatewayError as error:
        said["order"] = []
        said["error"] = {"status": error.status, "type": error.type, "code": error.code, "message": error.message}
    return json_response(call, said)


def _asked(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    unknown = sorted(body.keys() - {"endpoint", "request"})
    if unknown:
        raise invalid_request(
            f"Unknown parameter: '{unknown[0]}'. Expected 'endpoint' and 'request'.",
            param=unknown[0],
            code="unknown_parameter",
        )
    endpoint, request = body.get("endpoint", "/v1/responses"), body.get("request")
    if not isinstance(endpoint, str) or endpoint not in _ENDPOINTS:
        raise invalid_request(f"endpoint must be one of {', '.join(_ENDPOINTS)}.", param="endpoint")
    if not isinstance(request, dict):
        raise invalid_request("request must be the JSON object to be explained.", param="request", code="invalid_type")
    return endpoint, request
