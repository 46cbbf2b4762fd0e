"""The signatures that a provider puts on its calls, remembered for the clients that send calls back without them."""

from __future__ import annotations

from dataclasses import replace

from headgate.conversation import Request, ToolCall
from headgate.protocols.contract import Target
from headgate.storage.aws import StoreFault, StoreUnavailable
from headgate.web.call import Call
from headgate.web.serving import Serving

# The quirk of targets that refuse a call of theirs without the signature it came with.
_SIGNED_CALLS = "thought_signatures"


async def keep_signatures(call: Call, serving: Serving) -> None:
    """Remember the signatures on the answer's calls, where the key's policy lets anything be kept. A table that cannot
    take them is reported, never raised."""
    wanted = call.candidate is not None and _SIGNED_CALLS in call.candidate.target().quirks and call.keeps_content
    if wanted and (signed := serving.signed_calls()):
        try:
            await call.services.call_signatures.keep(call.owner, signed)
        except (StoreUnavailable, StoreFault) as error:
            call.services.observer.logger.error("call signatures not stored", extra={"reason": str(error)})


async def with_signatures(call: Call, request: Request, target: Target) -> Request:
    """``request`` with the signatures that its calls came with, where ``target`` wants them and the client left them
    out."""
    bare = [item.call_id for item in request.items if isinstance(item, ToolCall) and item.sealed is None]
    if _SIGNED_CALLS not in target.quirks or not bare or not call.keeps_content:
        return request
    try:
        known = await call.services.call_signatures.find(call.owner, bare)
    except (StoreUnavailable, StoreFault) as error:
        call.services.observer.logger.error("call signatures not read", extra={"reason": str(error)})
        return request
    items = [
        replace(item, sealed=known[item.call_id])
        if isinstance(item, ToolCall) and item.sealed is None and item.call_id in known
        else item
        for item in request.items
    ]
    return replace(request, items=tuple(items)) if known else request
