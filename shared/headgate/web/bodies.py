"""Reading a request's body: bounded, decompressed, strict JSON."""

from __future__ import annotations

import json
import zlib
from typing import Any, NoReturn

from starlette.requests import ClientDisconnect, Request

from headgate.errors import GatewayError, invalid_request


async def read_json(request: Request, limit: int) -> Any:
    """The body as JSON. ``limit`` is in bytes, before and after decompression. Raises 400, 413 or 415."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise too_large(limit)
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise too_large(limit)
            parts.append(part)
    except ClientDisconnect:
        raise invalid_request("The request body ended early.", code="incomplete_body") from None
    raw = decompress(b"".join(parts), request.headers.get("content-encoding", ""), limit)
    return parse(raw)


def parse(raw: bytes) -> Any:
    """Strict JSON in UTF-8: no NaN, no Infinity. Raises 400."""
    if not raw.strip():
        raise invalid_request("The request body is empty; expected a JSON object.", code="invalid_json")
    try:
        return json.loads(raw, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise invalid_request("The request body is not valid UTF-8.", code="invalid_json") from None
    except RecursionError:
        raise invalid_request("The request body is nested too deeply.", code="invalid_json") from None
    except ValueError as error:
        place = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise invalid_request(f"The request body is not valid JSON{place}.", code="invalid_json") from None


def decompress(raw: bytes, encoding: str, limit: int) -> bytes:
    """``raw`` without its content encoding (gzip or deflate). Raises 400, 413 or 415."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return raw
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise GatewayError(
            415,
            "invalid_request_error",
            "unsupported_encoding",
            f"Content-Encoding '{encoding[:40]}' is not supported.",
        )
    # 47: zlib or gzip header, whichever is there.
    inflater = zlib.decompressobj(47)
    try:
        data = inflater.decompress(raw, limit + 1)
    except zlib.error:
        raise invalid_request("The compressed request body is damaged.", code="invalid_body") from None
    if len(data) > limit:
        raise too_large(limit)
    if not inflater.eof:
        raise invalid_request("The compressed request body is damaged.", code="invalid_body")
    return data


def too_large(limit: int) -> GatewayError:
    """413."""
    return GatewayError(
        413, "invalid_request_error", "request_too_large", f"The request body is larger than {limit} bytes."
    )


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
