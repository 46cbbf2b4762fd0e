"""How much a Claude model shall think, and the room that its answer gets, at Anthropic and on Bedrock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headgate.conversation import Request
from headgate.losses import Loss
from headgate.protocols.contract import Target
from headgate.protocols.efforts import budget_for, effort_for, nearest

MIN_BUDGET = 1024
# ``max_tokens`` is required upstream. Without the caller's own it is this much room for the answer, plus what thinking
# may take: long enough for nearly every answer, and an endless one does not silently cost the model's full maximum.
DEFAULT_ANSWER_TOKENS = 8192
UNKNOWN_MODEL_TOKENS = 4096
_DEFAULT_EFFORT = "medium"


@dataclass(frozen=True, slots=True)
class ThinkingPlan:
    """``thinking`` and ``effort`` as they go upstream (None: not sent) and the ``max_tokens`` that leaves room."""

    max_tokens: int
    thinking: dict[str, Any] | None = None
    effort: str | None = None


def plan_thinking(request: Request, target: Target, losses: list[Loss], *, forced: bool, resumed: bool) -> ThinkingPlan:
    """Settle thinking. ``forced``: the model must call a tool, which the vendor allows only without thinking.
    ``resumed``: the history ends in a tool loop that has no thinking to go on from, see
    ``in_tool_loop_without_thinking``."""
    wanted = request.thinking
    if wanted.mode == "disabled" or wanted.effort == "none":
        return _off(request, target, losses)
    if wanted.mode is None and wanted.effort is None and wanted.budget is None:
        return ThinkingPlan(_max_tokens(request, target, 0))
    if target.lacks("reasoning") or target.thinking not in ("budget", "adaptive", "effort"):
        return _dropped(request, target, losses, f"{target.model} does not reason")
    if target.thinking == "budget":
        return _budget(request, target, losses, forced=forced, resumed=resumed)
    effort = wanted.effort or (effort_for(wanted.budget) if wanted.budget else None)
    chosen = _nearest(effort, target, losses) if effort else None
    max_tokens = _max_tokens(request, target, budget_for(effort or _DEFAULT_EFFORT) or 0)
    if forced:
        losses.append(Loss("reasoning", "thinking_dropped", "a forced tool call excludes thinking"))
        return ThinkingPlan(max_tokens, effort=chosen)
    return ThinkingPlan(max_tokens, {"type": "adaptive", "display": _display(request)}, chosen)


def _budget(request: Request, target: Target, losses: list[Loss], *, forced: bool, resumed: bool) -> ThinkingPlan:
    wanted = request.thinking
    budget = max(MIN_BUDGET, wanted.budget or budget_for(wanted.effort or _DEFAULT_EFFORT) or MIN_BUDGET)
    if forced:
        return _dropped(request, target, losses, "a forced tool call excludes thinking")
    if resumed:
        return _dropped(request, target, losses, "the tool calls in the history carry no thinking of this model")
    max_tokens = _max_tokens(request, target, budget)
    if max_tokens <= MIN_BUDGET:
        return _dropped(request, target, losses, f"max_tokens must exceed {MIN_BUDGET} to leave room for thinking")
    if budget >= max_tokens:
        # Half is left for the answer: an effort level is no reason to spend all that the caller allows on thinking.
        budget = max(MIN_BUDGET, max_tokens // 2)
    thinking: dict[str, Any] = {"type": "enabled", "budget_tokens": budget}
    if wanted.display is not None:
        thinking["display"] = wanted.display
    return ThinkingPlan(max_tokens, thinking)


def _off(request: Request, target: Target, losses: list[Loss]) -> ThinkingPlan:
    # The models that think by themselves refuse ``disabled``; the least effort is what can be asked of them.
    max_tokens = _max_tokens(request, target, 0)
    if target.thinking == "budget" or not target.efforts or "none" in target.efforts:
        return ThinkingPlan(max_tokens)
    return ThinkingPlan(max_tokens, effort=_nearest("none", target, losses))


def _dropped(request: Request, target: Target, losses: list[Loss], detail: str) -> ThinkingPlan:
    losses.append(Loss("reasoning", "thinking_dropped", detail))
    return ThinkingPlan(_max_tokens(request, target, 0))


def _nearest(effort: str, target: Target, losses: list[Loss]) -> str:
    chosen = nearest(effort, target.efforts)
    if chosen != effort:
        losses.append(Loss("reasoning.effort", "effort_adjusted", f"{effort} became {chosen}"))
    return chosen


def _display(request: Request) -> str:
    # Newer models send empty thinking unless asked; callers of the OpenAI shapes expect to see a summary.
    return request.thinking.display or "summarized"


def _max_tokens(request: Request, target: Target, thinking: int) -> int:
    if request.sampling.max_tokens is not None:
        return min(request.sampling.max_tokens, target.max_output_tokens or request.sampling.max_tokens)
    if target.max_output_tokens is None:
        return UNKNOWN_MODEL_TOKENS + thinking
    return min(target.max_output_tokens, DEFAULT_ANSWER_TOKENS + thinking)
