"""Counting input tokens: by the provider's own endpoint where it has one, else by our estimate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from headgate.conversation import Request
from headgate.protocols.registry import client_side, relay_side, tool_names, upstream_side
from headgate.protocols.sse import json_bytes
from headgate.providers.auth_tokens import CredentialFault
from headgate.providers.counting import count_request, counted
from headgate.routing.affinity import rejects_reasoning
from headgate.routing.candidates import Candidate
from headgate.routing.transport import UpstreamFailure
from headgate.tokens import estimate_request, family_of
from headgate.web.call import Call
from headgate.web.exchange import Work, candidates_for
from headgate.web.headers import upstream_headers


async def count_input(call: Call, model: str, sent: Mapping[str, Any], providers: Sequence[str]) -> tuple[int, bool]:
    """(input tokens, whether the provider counted them). A provider that fails to count does not fail the request.
    Raises GatewayError for an unknown or forbidden model and for content that no route takes."""
    candidates = await candidates_for(call, Work(body=sent, sent=sent, id="", model=model, providers=providers))
    candidate = candidates[0]
    call.candidate = candidate
    request, _ = client_side(call.protocol).read_request(sent, call.unseal)
    if f"{candidate.protocol}.count" in candidate.access.provider.paths:
        tokens = await _ask(call, candidate, sent, request)
        if tokens is not None:
            return tokens, True
    return estimate_request(request, family_of(candidate.route.model)), False


async def _ask(call: Call, candidate: Candidate, sent: Mapping[str, Any], request: Request) -> int | None:
    target = candidate.target()
    if candidate.protocol == call.protocol:
        payload, _ = relay_side(candidate.protocol).prepare(sent, target, call.unseal)
    else:
        payload, _ = upstream_side(candidate.protocol).write_request(request, target, tool_names(candidate.protocol))
    access, protocol = candidate.access, candidate.protocol
    asked = count_request(access.provider, protocol, candidate.route.model, payload)
    if asked is None:
        return None
    model, fields = asked
    headers = {
        **upstream_headers(candidate, call.request.headers, call.protocol, counting=True),
        "accept": "application/json",
    }
    url, body = access.url(f"{protocol}.count", model), json_bytes(fields)
    try:
        headers = await access.authorized(url, body, headers)
        stream = await call.services.transport.post(url, headers, body, call.services.settings.timeouts, stream=False)
        try:
            raw = await stream.read(1024 * 1024)
        finally:
            await stream.close()
    except (UpstreamFailure, CredentialFault):
        return None
    if stream.status >= 300:
        error = upstream_side(protocol).read_error(stream.status, raw, stream.headers)
        # Only the protocol's own vendor counts all that it answers; the platforms refuse to count some of it.
        refused = stream.status in (400, 413, 422) and protocol == call.protocol and access.provider.betas is None
        # An answer would go on without reasoning that the provider cannot open, so counting does not fail for it.
        if refused and not rejects_reasoning(error):
            raise error
        return None
    try:
        return counted(protocol, json.loads(raw))
    except ValueError:
        return None
