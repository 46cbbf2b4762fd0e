"""``additionalModelRequestFields``: what Converse leaves to each family of models, reasoning before all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from headgate.conversation import Request
from headgate.losses import Loss
from headgate.protocols.claude_thinking import plan_thinking
from headgate.protocols.contract import Target
from headgate.protocols.converse.families import Family, family_of
from headgate.protocols.efforts import effort_for, nearest

_NOVA_EFFORTS = ("low", "medium", "high")


@dataclass(slots=True)
class ModelFields:
    """The model's own fields, the ``maxTokens`` that leaves room for thinking (None: not sent), and whether the model
    will think, which rules out some sampling parameters."""

    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    max_tokens: int | None = None
    thinks: bool = False


def write_fields(request: Request, target: Target, losses: list[Loss], *, forced: bool, resumed: bool) -> ModelFields:
    """Settle reasoning and ``maxTokens``. ``forced``: the model must call a tool; ``resumed``: the history ends in a
    tool loop without thinking. Both rule out Claude's thinking."""
    family = family_of(target)
    if family == "claude":
        return _claude(request, target, losses, forced=forced, resumed=resumed)
    out = ModelFields(max_tokens=_max_tokens(request, target))
    effort = _effort(request, target, losses)
    if effort is None:
        return out
    match family:
        case "nova":
            out.fields["reasoningConfig"] = _nova(effort, losses)
            out.thinks = effort != "none"
        case "openai":
            out.fields["reasoning"] = {"effort": effort}
        case _:
            out.fields["reasoning_effort"] = effort
    return out


def write_top_k(top_k: int, family: Family) -> dict[str, Any] | None:
    """``top_k`` in the family's own words, None where it has none."""
    match family:
        case "claude" | "mistral":
            return {"top_k": top_k}
        case "nova":
            return {"inferenceConfig": {"topK": top_k}}
        case "cohere":
            return {"k": top_k}
        case _:
            return None


def _claude(request: Request, target: Target, losses: list[Loss], *, forced: bool, resumed: bool) -> ModelFields:
    plan = plan_thinking(request, target, losses, forced=forced, resumed=resumed)
    out = ModelFields(max_tokens=plan.max_tokens, thinks=plan.thinking is not None)
    if plan.thinking is not None:
        out.fields["thinking"] = plan.thinking
    if plan.effort is not None:
        out.fields["output_config"] = {"effort": plan.effort}
    return out


def _effort(request: Request, target: Target, losses: list[Loss]) -> str | None:
    wanted = request.thinking
    effort = "none" if wanted.mode == "disabled" else wanted.effort
    if effort is None and wanted.budget:
        effort = effort_for(wanted.budget)
    if effort is None and wanted.mode is not None:
        effort = "medium"
    if effort is None:
        return None
    if target.lacks("reasoning"):
        if effort != "none":
            losses.append(Loss("reasoning", "thinking_dropped", f"{target.model} does not reason"))
        return None
    chosen = nearest(effort, target.efforts)
    if chosen != effort:
        losses.append(Loss("reasoning.effort", "effort_adjusted", f"{effort} became {chosen}"))
    # No family but Nova has a word for no reasoning, unless the catalogue knows it.
    return None if chosen == "none" and "none" not in target.efforts and family_of(target) != "nova" else chosen


def _nova(effort: str, losses: list[Loss]) -> dict[str, Any]:
    if effort == "none":
        return {"type": "disabled"}
    chosen = nearest(effort, _NOVA_EFFORTS)
    if chosen != effort:
        losses.append(Loss("reasoning.effort", "effort_adjusted", f"{effort} became {chosen}"))
    return {"type": "enabled", "maxReasoningEffort": chosen}


def _max_tokens(request: Request, target: Target) -> int | None:
    given = request.sampling.max_tokens
    return None if given is None else min(given, target.max_output_tokens or given)
