"""What a Lambda function URL does to HTTP on the way in and out: payload format 2.0, preludes, limits, error answers.

Values only, no input or output; ``lambda_emulator`` uses it to stand in for the real thing.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

REQUEST_LIMIT = 6 * 1024 * 1024
"""Bytes of the JSON event, body included, that a synchronous invocation may carry."""
BUFFERED_RESPONSE_LIMIT = 6 * 1024 * 1024 + 100
"""Bytes of an answer that was not streamed."""
STREAMED_RESPONSE_LIMIT = 200 * 1024 * 1024
"""Bytes of a streamed answer."""
STREAMED = "application/vnd.awslambda.http-integration-response"
"""The content type by which a runtime says that a prelude precedes the body."""

_DELIMITER = bytes(8)
# They belong to the client's connection and never reach a function.
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "expect", "proxy-connection"}
)
_TEXT = ("text/", "application/json", "application/javascript", "application/xml")


@dataclass(frozen=True, slots=True)
class Head:
    """Status line and headers of an answer, ready for ASGI."""

    status: int
    headers: list[tuple[bytes, bytes]]


class MalformedPrelude(ValueError):
    """A function announced a prelude and sent something else; Lambda answers 502."""


def event_of(scope: Mapping[str, Any], body: bytes, request_id: str, api_id: str) -> dict[str, Any]:
    """The event that a function URL makes of an ASGI HTTP scope and its body.

    Headers that occur several times are joined by commas; cookies have a list of their own. A body is base64 unless
    its content type is text, JSON, XML or JavaScript (form data is base64, too, as on Lambda).
    """
    headers, cookies = _request_headers(scope["headers"])
    client = (scope.get("client") or ("127.0.0.1", 0))[0]
    host = headers.get("host", "localhost")
    server_port = (scope.get("server") or ("", 80))[1]
    headers |= {"x-forwarded-for": client, "x-forwarded-proto": scope["scheme"], "x-forwarded-port": str(server_port)}
    now = time.time()
    headers["x-amzn-trace-id"] = f"Root=1-{int(now):08x}-{uuid.uuid4().hex[:24]}"
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": api_id,
            "authentication": None,
            "domainName": host.rsplit(":", 1)[0],
            "domainPrefix": api_id,
            "http": {
                "method": scope["method"],
                "path": path,
                "protocol": f"HTTP/{scope['http_version']}",
                "sourceIp": client,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = cookies
    if query:
        parameters: dict[str, str] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
        event["queryStringParameters"] = parameters
    if body:
        text = _as_text(body, headers)
        event["isBase64Encoded"] = text is None
        event["body"] = base64.b64encode(body).decode() if text is None else text
    return event


def split_prelude(data: bytes) -> tuple[Head, bytes] | None:
    """Read the prelude off the front of a streamed answer: its head and the bytes behind it, or None until complete.

    Raises ``MalformedPrelude``.
    """
    end = data.find(_DELIMITER)
    if end < 0:
        return None
    try:
        prelude = json.loads(data[:end])
        headers = [(str(name), str(value)) for name, value in (prelude.get("headers") or {}).items()]
        cookies = [("set-cookie", cookie) for cookie in prelude.get("cookies") or ()]
        return _head(prelude.get("statusCode", 200), [*headers, *cookies]), data[end + len(_DELIMITER) :]
    except (ValueError, AttributeError, TypeError) as error:
        raise MalformedPrelude(f"the answer does not start with a prelude: {data[:200]!r}") from error


def buffered_answer(data: bytes) -> tuple[Head, bytes]:
    """The HTTP answer that a function URL makes of a handler's plain JSON result.

    An object with ``statusCode`` is read as payload format 2.0; anything else is the body of a 200.
    """
    try:
        result = json.loads(data)
    except ValueError:
        result = None
    if not isinstance(result, dict) or "statusCode" not in result:
        return _head(200, [("content-type", "application/json")]), data
    body = result.get("body") or ""
    content = base64.b64decode(body) if result.get("isBase64Encoded") else body.encode()
    headers = {str(name).lower(): str(value) for name, value in (result.get("headers") or {}).items()}
    headers.setdefault("content-type", "application/json")
    cookies = [("set-cookie", cookie) for cookie in result.get("cookies") or ()]
    return _head(int(result["statusCode"]), [*headers.items(), *cookies]), content


def error_answer(status: int, message: str, **details: Any) -> tuple[Head, bytes]:
    """An answer that comes from Lambda and not from the function.

    Lambda itself says no more than ``Message``; the details are for whoever develops on one machine.
    """
    body = json.dumps({"Message": message, **details}).encode()
    headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
    return _head(status, headers), body


def _head(status: int, headers: Iterable[tuple[str, str]]) -> Head:
    kept = [(name.lower(), value) for name, value in headers if name.lower() not in _HOP_BY_HOP]
    return Head(int(status), [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in kept])


def _request_headers(raw: Iterable[tuple[bytes, bytes]]) -> tuple[dict[str, str], list[str]]:
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name == "cookie":
            cookies += [cookie.strip() for cookie in value.split(";") if cookie.strip()]
        elif name not in _HOP_BY_HOP:
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers, cookies


def _as_text(body: bytes, headers: Mapping[str, str]) -> str | None:
    kind = headers.get("content-type", "").strip().lower()
    if not kind.startswith(_TEXT) or "content-encoding" in headers:
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
