"""Counting input tokens: by the provider's own endpoint where it has one, else by our estimate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from headgate.conversation import Request
from headgate.protocols.registry import client_side, relay_side, tool_names, upstream_side
from headgate.protocols.sse import json_bytes
from headgate.routing.candidates import Candidate
from headgate.routing.transport import UpstreamFailure
from headgate.tokens import estimate_request
from headgate.web.call import Call
from headgate.web.exchange import Work, candidates_for
from headgate.web.headers import upstream_headers

# What the counting endpoints take; both refuse anything else.
_FIELDS = {
    "responses": (
        "model",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning",
        "text",
        "truncation",
    ),
    "messages": (
        "model",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "cache_control",
        "mcp_servers",
        "context_management",
    ),
}


async def count_input(call: Call, model: str, sent: Mapping[str, Any], providers: Sequence[str]) -> tuple[int, bool]:
    """(input tokens, whether the provider counted them). A provider that fails to count does not fail the request.
    Raises GatewayError for an unknown or forbidden model and for content that no route takes."""
    candidates = await candidates_for(call, Work(body=sent, sent=sent, id="", model=model, providers=providers))
    candidate = candidates[0]
    call.candidate = candidate
    request, _ = client_side(call.protocol).read_request(sent, call.unseal)
    if candidate.protocol in _FIELDS and f"{candidate.protocol}.count" in candidate.access.provider.paths:
        counted = await _ask(call, candidate, sent, request)
        if counted is not None:
            return counted, True
    return estimate_request(request), False


async def _ask(call: Call, candidate: Candidate, sent: Mapping[str, Any], request: Request) -> int | None:
    target = candidate.target()
    if candidate.protocol == call.protocol:
        payload, _ = relay_side(candidate.protocol).prepare(sent, target, call.unseal)
    else:
        payload, _ = upstream_side(candidate.protocol).write_request(request, target, tool_names(candidate.protocol))
    fields = {name: payload[name] for name in _FIELDS[candidate.protocol] if name in payload}
    headers = upstream_headers(candidate, call.request.headers, call.protocol)
    body = json_bytes(fields)
    try:
        stream = await call.services.transport.post(
            candidate.access.url(f"{candidate.protocol}.count"),
            headers,
            body,
            call.services.settings.timeouts,
            stream=False,
        )
        try:
            raw = await stream.read(1024 * 1024)
        finally:
            await stream.close()
    except UpstreamFailure:
        return None
    if stream.status >= 300:
        error = upstream_side(candidate.protocol).read_error(stream.status, raw, stream.headers)
        if stream.status in (400, 413, 422) and candidate.protocol == call.protocol:
            raise error
        return None
    try:
        tokens = json.loads(raw)["input_tokens"]
    except (ValueError, KeyError, TypeError):
        return None
    return tokens if type(tokens) is int and tokens >= 0 else None
