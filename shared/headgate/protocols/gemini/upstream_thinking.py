"""How much a Gemini model shall think, and how much of it to show."""

from __future__ import annotations

from typing import Any

from headgate.conversation import Request
from headgate.losses import Loss
from headgate.protocols.contract import Target
from headgate.protocols.efforts import budget_for, effort_for, nearest

_DEFAULT_EFFORT = "medium"
# Every model that is asked by levels knows these two; the catalogue may know of more.
_SURE_LEVELS = ("low", "high")
_DYNAMIC = -1


def thinking_config(request: Request, target: Target, losses: list[Loss]) -> dict[str, Any] | None:
    """``thinkingConfig``, or None where the client said nothing: Gemini thinks of itself. Budgets and levels exclude
    each other; ``target.thinking`` says which of them the model takes."""
    wanted = request.thinking
    if wanted.mode is None and wanted.effort is None and wanted.budget is None:
        return None
    off = wanted.mode == "disabled" or wanted.effort == "none"
    if target.lacks("reasoning") or target.thinking not in ("budget", "level", "effort"):
        if not off:
            losses.append(Loss("reasoning", "thinking_dropped", f"{target.model} does not reason"))
        return None
    config = _budget(request, target, losses, off=off) if target.thinking == "budget" else {}
    if target.thinking != "budget":
        level = _level(request, target, losses, off=off)
        if level is not None:
            config["thinkingLevel"] = level.upper()
    if not off and wanted.display != "omitted":
        config["includeThoughts"] = True
    return config or None


def _level(request: Request, target: Target, losses: list[Loss], *, off: bool) -> str | None:
    wanted = request.thinking
    effort = "none" if off else wanted.effort or (effort_for(wanted.budget) if wanted.budget else None)
    if effort is None:
        return None
    chosen = nearest(effort, tuple(each for each in target.efforts if each != "none") or _SURE_LEVELS)
    if chosen != effort:
        losses.append(Loss("reasoning.effort", "effort_adjusted", f"{effort} became {chosen}"))
    return chosen


def _budget(request: Request, target: Target, losses: list[Loss], *, off: bool) -> dict[str, Any]:
    least, most = _range(target.model)
    if off:
        if "-pro" not in target.model:
            return {"thinkingBudget": 0}
        losses.append(Loss("reasoning", "effort_adjusted", f"{target.model} always thinks: the least budget was asked"))
        return {"thinkingBudget": least}
    wanted = request.thinking
    if wanted.budget is None and wanted.effort is None:
        return {"thinkingBudget": _DYNAMIC}
    asked = wanted.budget or budget_for(wanted.effort or _DEFAULT_EFFORT) or least
    budget = min(max(asked, least), most)
    limit = request.sampling.max_tokens
    if limit is not None and budget >= limit:
        # Thoughts count against the limit: half is left for the answer.
        budget = max(least, limit // 2)
    if budget != asked and wanted.budget is not None:
        losses.append(Loss("thinking.budget_tokens", "clamped", f"{asked} became {budget}"))
    return {"thinkingBudget": budget}


def _range(model: str) -> tuple[int, int]:
    """The least and the largest budget in tokens, as published for the 2.5 generation, the only one asked by budget."""
    if "-pro" in model:
        return 128, 32_768
    return (512, 24_576) if "lite" in model else (1, 24_576)
