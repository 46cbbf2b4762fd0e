"""The fields of a Chat Completions body that speak to the gateway and not to a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GATEWAY_FIELDS = frozenset({"routing", "provider", "session_id", "agent", "extra_body", "request_context_tokens"})
"""No upstream sees these."""

_OUTRIGHT = frozenset({"model", "messages", "stream", "stream_options", "n", "extra_body"})


def merged(body: Mapping[str, Any]) -> dict[str, Any]:
    """``body`` with its ``extra_body`` beneath: a field said outright wins. What decides how the gateway itself
    works (the model, the messages, streaming, the number of choices) must be said outright."""
    extra = body.get("extra_body")
    if not extra:
        fields = dict(body)
    else:
        fields = {name: value for name, value in extra.items() if name not in _OUTRIGHT}
        fields.update(body)
    fields.pop("extra_body", None)
    return fields


def gateway_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """What the request says to the gateway itself: ``routing``, ``session_id``, ``agent``, ``provider`` and
    ``request_context_tokens`` (an exact token count for selectors), outright or in ``extra_body``."""
    fields = merged(body)
    return {name: fields[name] for name in sorted(GATEWAY_FIELDS) if fields.get(name) is not None}


def legacy(body: Mapping[str, Any]) -> bool:
    """Whether the client uses the functions of before ``tools``."""
    return bool(body.get("functions")) and not body.get("tools")
