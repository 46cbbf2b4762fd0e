"""Fits a Responses body to the model it is about to be sent to; the relay and the translator both end with this.

A tuning knob that the model lacks is taken out with a Loss, a level it does not know moves to the nearest one. The
state of conversations is ours, so ``store`` is always false, and sealed reasoning is always asked for where the model
reasons: without it a chain of turns would lose its reasoning.
"""

from __future__ import annotations

from typing import Any

from headgate.losses import Loss
from headgate.protocols.contract import Target
from headgate.protocols.efforts import adjustable, nearest

ENCRYPTED = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"
_SOURCES = "web_search_call.action.sources"
MIN_OUTPUT_TOKENS = 16
"""OpenAI refuses a smaller ``max_output_tokens``."""


def fit(body: dict[str, Any], target: Target) -> list[Loss]:
    """Change the top level of ``body`` (which the caller owns) to what ``target`` takes."""
    losses: list[Loss] = []
    body["store"] = False
    # What this gateway takes beyond OpenAI's own fields, for models that are reached by another protocol.
    _drop(body, losses, "stop")
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
    _fit_text(body, target, losses)
    _fit_reasoning(body, target, losses)
    _fit_include(body, target, losses)
    return losses


def _fit_text(body: dict[str, Any], target: Target, losses: list[Loss]) -> None:
    text = body.get("text")
    if isinstance(text, dict) and text.get("verbosity") and "no_verbosity" in target.quirks:
        rest = {name: value for name, value in text.items() if name != "verbosity"}
        losses.append(Loss("text.verbosity", "unsupported_parameter", "The provider has no such setting."))
        body["text"] = rest
        if not rest:
            del body["text"]


def _fit_reasoning(body: dict[str, Any], target: Target, losses: list[Loss]) -> None:
    reasoning = body.get("reasoning")
    if not isinstance(reasoning, dict):
        return
    if target.lacks("reasoning"):
        del body["reasoning"]
        if any(value not in (None, "none") for value in reasoning.values()):
            losses.append(Loss("reasoning", "unsupported_parameter", "The model does not reason."))
        return
    if "one_summary" in target.quirks and reasoning.get("summary") not in (None, "auto"):
        losses.append(Loss("reasoning.summary", "moved", "The provider gives summaries of one length."))
        body["reasoning"] = reasoning = {**reasoning, "summary": "auto"}
    effort = reasoning.get("effort")
    if effort is None:
        return
    if not adjustable(target.efforts, target.quirks):
        losses.append(Loss("reasoning.effort", "unsupported_parameter", f"{target.model} has one effort."))
        body["reasoning"] = {name: value for name, value in reasoning.items() if name != "effort"}
        if not body["reasoning"]:
            del body["reasoning"]
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
    if "seals_only" in target.quirks:
        # Sources come with every search there, asked for or not.
        lost = [word for word in wanted if word not in (ENCRYPTED, _SOURCES)]
        wanted = [word for word in wanted if word == ENCRYPTED]
        losses.extend(Loss("include", "unsupported_parameter", f"The provider has no '{word}'.") for word in lost)
    if wanted:
        body["include"] = wanted
    else:
        body.pop("include", None)


def _drop(body: dict[str, Any], losses: list[Loss], *names: str) -> None:
    for name in names:
        if body.pop(name, None) is not None:
            losses.append(Loss(name, "unsupported_parameter", "The model does not take this field."))
