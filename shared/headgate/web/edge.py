"""The outermost layer of every function: request ids, trailing slashes, the edge's secret, and the last resort.

Pure ASGI, because Starlette's ``BaseHTTPMiddleware`` costs seven objects a request and buffers streams.
"""

from __future__ import annotations

import hmac
import json
import secrets

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headgate.errors import GatewayError, server_error
from headgate.observe import Observer, request_scope
from headgate.protocols.registry import error_body


def protocol_of(path: str) -> str:
    """The protocol whose error envelope a path uses. Anthropic clients also ask for ``/v1/models``, but read either
    envelope there."""
    if path.startswith("/v1/messages"):
        return "messages"
    return "chat_completions" if path.startswith("/v1/chat") else "responses"


class Edge:
    """Wraps the application. ``origin_secret``: when set, only requests that carry it in ``x-headgate-origin`` pass,
    so that the function URL cannot be used around the CloudFront domain."""

    def __init__(self, app: ASGIApp, observer: Observer, origin_secret: str | None = None) -> None:
        self._app = app
        self._observer = observer
        self._origin_secret = origin_secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        if len(path) > 1 and path.endswith("/"):
            scope = dict(scope, path=path.rstrip("/") or "/")
        request_id = f"req_{secrets.token_hex(16)}"
        scope.setdefault("state", {})["request_id"] = request_id
        names = [(b"x-request-id", request_id.encode())]
        if protocol_of(scope["path"]) == "messages":
            # The Anthropic SDKs read the id under this name.
            names.append((b"request-id", request_id.encode()))
        begun = False

        async def send_with_id(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [*message["headers"], *names]
            await send(message)

        try:
            if self._origin_secret is not None:
                self._check_origin(scope, self._origin_secret)
            with request_scope(request_id):
                await self._app(scope, receive, send_with_id)
        except GatewayError as error:
            await send_error(scope, send_with_id, error)
        except Exception:  # the last resort: a defect must reach the client as an error, and the log
            self._observer.logger.exception("unhandled error", extra={"request_id": request_id, "path": path})
            if begun:
                # The runtime ends the stream with an error trailer.
                raise
            await send_error(scope, send_with_id, server_error())

    @staticmethod
    def _check_origin(scope: Scope, secret: str) -> None:
        given = next((value for name, value in scope["headers"] if name == b"x-headgate-origin"), b"")
        if not hmac.compare_digest(given, secret.encode()):
            raise GatewayError(403, "permission_error", "wrong_origin", "Use the gateway's own domain.")


async def send_error(scope: Scope, send: Send, error: GatewayError) -> None:
    """Answer with ``error`` in the envelope of the path's protocol."""
    body = json.dumps(error_body(protocol_of(scope["path"]), error, scope["state"]["request_id"])).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in error_headers(error).items()]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def error_headers(error: GatewayError) -> dict[str, str]:
    """The headers that belong to ``error``: ``Retry-After`` in whole seconds, rounded up."""
    headers = dict(error.headers)
    if error.retry_after is not None:
        headers["retry-after"] = str(max(0, -int(-error.retry_after // 1)))
    return headers
