"""Puts a selector leaf's own parameters into the client's request, in the fields of the client's protocol.

What stands behind a model's name goes before what the body says, and a body's own field before its ``extra_body``.
That is what the caller asks for, so nothing is lost with the value that gives way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from headgate.losses import Loss
from headgate.routing.selectors import Leaf, Value

Body = Mapping[str, Any]


def apply_parameters(protocol: str, body: Body, leaf: Leaf) -> tuple[Body, tuple[Loss, ...]]:
    """``body``, a valid request of the client protocol, with the parameters of the ``leaf`` that is about to serve it,
    and a Loss for each one that is not valid or that the protocol has no field for. ``body`` itself is not changed."""
    if not leaf.parameters:
        return body, leaf.ignored
    out = dict(body)
    losses = list(leaf.ignored)
    for name, value in leaf.parameters.items():
        _WRITERS[protocol](out, name, value, losses)
    return out, tuple(losses)


def _responses(out: dict[str, Any], name: str, value: Value, losses: list[Loss]) -> None:
    if name == "reasoning_effort":
        out["reasoning"] = {**_object(out.get("reasoning")), "effort": value}
    elif name == "verbosity":
        out["text"] = {**_object(out.get("text")), "verbosity": value}
    elif name == "top_k":
        losses.append(_no_field(name, "Responses"))
    else:
        out[name] = value


def _chat(out: dict[str, Any], name: str, value: Value, losses: list[Loss]) -> None:
    if name == "reasoning_effort":
        # Other gateways' ways to say the same; an upstream that reads them would hear two things.
        extra = out.get("extra_body")
        if isinstance(extra, Mapping):
            out["extra_body"] = _without_thinking(extra)
        kept = _without_thinking(out)
        out.clear()
        out.update(kept)
    out[name] = value


def _messages(out: dict[str, Any], name: str, value: Value, losses: list[Loss]) -> None:
    if name == "verbosity":
        losses.append(_no_field(name, "Messages"))
    elif name == "reasoning_effort":
        _claude_effort(out, str(value), losses)
    elif name == "temperature" and float(value) > 1:
        out[name] = 1.0
        losses.append(Loss("model?temperature", "clamped", f"{value} became 1, the Messages API's maximum"))
    else:
        out[name] = value


def _claude_effort(out: dict[str, Any], effort: str, losses: list[Loss]) -> None:
    """``none`` switches thinking off. Any other level goes into ``output_config``, and a budget in tokens, which would
    go before it, becomes adaptive thinking. Thinking that the caller did not ask for is not switched on: with a forced
    tool or a temperature the vendor would refuse the request."""
    thinking, config = _object(out.get("thinking")), _object(out.get("output_config"))
    if effort == "none":
        out["thinking"] = {"type": "disabled"}
        rest = {name: value for name, value in config.items() if name != "effort"}
        if rest:
            out["output_config"] = rest
        else:
            out.pop("output_config", None)
        return
    if effort == "minimal":
        effort = "low"
        losses.append(Loss("model?reasoning_effort", "effort_adjusted", "minimal became low, the API's lowest level"))
    out["output_config"] = {**config, "effort": effort}
    if thinking.get("type") == "disabled":
        del out["thinking"]
    elif thinking.get("type") == "enabled":
        kept = {name: value for name, value in thinking.items() if name != "budget_tokens"}
        out["thinking"] = {**kept, "type": "adaptive"}


def _without_thinking(fields: Mapping[str, Any]) -> dict[str, Any]:
    out = {name: value for name, value in fields.items() if name not in ("thinking", "reasoning", "reasoning_effort")}
    reasoning = _object(fields.get("reasoning"))
    kept = {name: value for name, value in reasoning.items() if name not in ("effort", "max_tokens", "enabled")}
    if kept:
        out["reasoning"] = kept
    return out


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _no_field(name: str, api: str) -> Loss:
    return Loss(f"model?{name}", "unsupported_parameter", f"the {api} API has no field for it")


_WRITERS: dict[str, Callable[[dict[str, Any], str, Value, list[Loss]], None]] = {
    "responses": _responses,
    "chat_completions": _chat,
    "messages": _messages,
}
