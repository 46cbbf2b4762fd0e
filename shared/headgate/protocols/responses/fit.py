"""Fits a Responses body to the model it is about to be sent to; the relay and the translator both end with this.

A tuning knob that the model lacks is taken out with a Loss, a level it does not know moves to the nearest one. The
state of conversations is ours, so ``store`` is always false, and sealed reasoning is always asked for where the model
reasons: without it a chain of turns would lose its reasoning.
"""

from __future__ import annotations

from typing import Any

from headgate.losses import Loss
from headgate.protocols.contract import Target
from headgate.protocols.efforts import nearest

ENCRYPTED = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"
MIN_OUTPUT_TOKENS = 16
"""OpenAI refuses a smaller ``max_output_tokens``."""


def fit(body: dict[str, Any], target: Target) -> list[Loss]:
    """Change the top level of ``body`` (which the caller owns) to what ``target`` takes."""
    losses: list[Loss] = []
    body["store"] = False
    if target.lacks("sampling"):
        _drop(body, losses, "temperature", "top_p")
    if target.lacks("logprobs"):
        _drop(body, losses, "top_logprobs")
    limit = body.get("max_output_tokens")
    if limit is not None and limit < MIN_OUTPUT_TOKENS:
        body["max_output_tokens"] = MIN_OUTPUT_TOKENS
        losses.append(Loss("max_output_tokens", "raised", f"The provider's minimum is {MIN_OUTPUT_TOKENS}."))
    if limit is not None and target.max_output_tokens and limit > target.max_output_tokens:
        body["max_output_tokens"] = target.max_output_tokens
        detail = f"{target.model} writes at most {target.max_output_tokens} tokens."
        losses.append(Loss("max_output_tokens", "clamped", detail))
    if body.get("prompt_cache_retention") == "in-memory":
        body["prompt_cache_retention"] = "in_memory"
    _fit_reasoning(body, target, losses)
    _fit_include(body, target, losses)
    return losses


def _fit_reasoning(body: dict[str, Any], target: Target, losses: list[Loss]) -> None:
    reasoning = body.get("reasoning")
    if not isinstance(reasoning, dict):
        return
    if target.lacks("reasoning"):
        del body["reasoning"]
        if any(value not in (None, "none") for value in reasoning.values()):
            losses.append(Loss("reasoning", "unsupported_parameter", "The model does not reason."))
        return
    effort = reasoning.get("effort")
    if effort is None:
        return
    level = nearest(effort, target.efforts)
    if level != effort:
        body["reasoning"] = {**reasoning, "effort": level}
        losses.append(Loss("reasoning.effort", "moved", f"The model has no effort '{effort}'; '{level}' was used."))


def _fit_include(body: dict[str, Any], target: Target, losses: list[Loss]) -> None:
    asked: list[str] = list(body.get("include") or ())
    wanted = [word for word in asked if not (word == _LOGPROBS and target.lacks("logprobs"))]
    if target.lacks("reasoning"):
        # OpenAI refuses the whole request otherwise; there is nothing to be sealed.
        wanted = [word for word in wanted if word != ENCRYPTED]
    elif ENCRYPTED not in wanted and (target.features is not None or body.get("reasoning")):
        wanted.append(ENCRYPTED)
    if _LOGPROBS in asked and _LOGPROBS not in wanted:
        losses.append(Loss("include", "unsupported_parameter", "The model gives no log probabilities."))
    if wanted:
        body["include"] = wanted
    else:
        body.pop("include", None)


def _drop(body: dict[str, Any], losses: list[Loss], *names: str) -> None:
    for name in names:
        if body.pop(name, None) is not None:
            losses.append(Loss(name, "unsupported_parameter", "The model does not take this field."))
