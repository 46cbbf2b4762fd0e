"""What a relayed Messages request must not say to a model that is known to refuse it.

Clients adapt their requests to the models they know by name. Claude Code does not know the names of a gateway: it then
puts system messages among the messages and asks for adaptive thinking with an effort, which older Claude models answer
with a 400. Only what the catalogue positively says of the model is acted on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.losses import Loss
from headgate.protocols.claude_thinking import MIN_BUDGET
from headgate.protocols.contract import Target
from headgate.protocols.efforts import budget_for, nearest
from headgate.protocols.messages.upstream_turns import in_tool_loop_without_thinking

_DEFAULT_EFFORT = "medium"


def fit(out: dict[str, Any], target: Target, losses: list[Loss]) -> None:
    """Change ``out``, a copy of the client's body, where ``target`` would refuse it."""
    turns = out.get("messages")
    if isinstance(turns, list) and target.lacks("system_messages"):
        out["messages"] = [_spoken_by_user(turn) if turn.get("role") == "system" else turn for turn in turns]
    if target.features is None:
        return
    kind = (out.get("thinking") or {}).get("type")
    if kind == "enabled" and _in_bare_tool_loop(out.get("messages") or ()):
        # Claude Code leaves its thoughts out when the answer's model has another name than the one it asked for, and
        # thoughts that the model did not sign were taken out above.
        del out["thinking"]
        losses.append(Loss("thinking", "thinking_dropped", "the tool calls in the history carry no thinking"))
    if target.thinking != "budget":
        return
    config = out.get("output_config")
    effort = config.get("effort") if isinstance(config, Mapping) else None
    if kind == "adaptive":
        _budget(out, effort, losses)
    if isinstance(config, Mapping) and effort is not None:
        _effort(out, config, effort, target, losses)


def _spoken_by_user(turn: Mapping[str, Any]) -> dict[str, Any]:
    """A system message as text of a user turn; each block keeps its own cache mark."""
    content = turn.get("content")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content or ()
    marked = [{**block, "text": f"<system>\n{block.get('text', '')}\n</system>"} for block in blocks]
    return {"role": "user", "content": marked}


def _budget(out: dict[str, Any], effort: str | None, losses: list[Loss]) -> None:
    """Adaptive thinking as a budget in tokens, where the vendor's rules leave room for one."""
    thinking = out.pop("thinking")
    limit = out.get("max_tokens") or 0
    forced = (out.get("tool_choice") or {}).get("type") in ("any", "tool")
    if forced or limit <= MIN_BUDGET or _in_bare_tool_loop(out.get("messages") or ()):
        losses.append(Loss("thinking", "thinking_dropped", "this model takes a budget only, and none fits here"))
        return
    budget = budget_for(effort or _DEFAULT_EFFORT) or MIN_BUDGET
    out["thinking"] = {**thinking, "type": "enabled", "budget_tokens": max(MIN_BUDGET, min(budget, limit // 2))}


def _in_bare_tool_loop(turns: Any) -> bool:
    last = list(turns)[-2:]
    whole = all(isinstance(turn.get("content"), list) and turn["content"] for turn in last)
    return whole and in_tool_loop_without_thinking(last)


def _effort(out: dict[str, Any], config: Mapping[str, Any], effort: str, target: Target, losses: list[Loss]) -> None:
    chosen = nearest(effort, target.efforts) if target.efforts else None
    if chosen == effort:
        return
    rest = {name: value for name, value in config.items() if name != "effort"}
    out["output_config"] = rest if chosen is None else {**rest, "effort": chosen}
    if not out["output_config"]:
        del out["output_config"]
    losses.append(Loss("output_config.effort", "effort_adjusted", f"{effort} became {chosen or 'the default'}"))
