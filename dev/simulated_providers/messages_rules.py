"""The rules of Anthropic's Messages API between fields, turns and models. All raise Refused."""

from __future__ import annotations

from typing import Any

from . import anthropic_common as anthropic
from .anthropic_common import Refused, invalid
from .instances import anthropic_objection
from .messages_request import blocks_of
from .seals import intact


def check(body: dict[str, Any], version: str, betas: set[str]) -> None:
    """Refuses what has the right shape but not the right sense."""
    model = body["model"]
    _sampling(body, model, version)
    _thinking(body, model, betas)
    _tools(body)
    _format(body)
    _messages(body, model, version)
    _signatures(body)
    marks = _marks(body)
    if marks > 4:
        raise Refused(400, f"A maximum of 4 blocks with cache_control may be provided. Found {marks}.")


def _sampling(body: dict[str, Any], model: str, version: str) -> None:
    given = [name for name in ("temperature", "top_p", "top_k") if name in body]
    if version == anthropic.NEW_VERSION and given:
        raise invalid(given[0], "Extra inputs are not permitted")
    for name in given:
        if body[name] is not None and not anthropic.takes_sampling(model):
            raise Refused(400, f"`{name}` is deprecated for this model.")
    both = body.get("temperature") is not None and body.get("top_p") is not None
    if both and anthropic.generation(model)[1] >= 4.1:
        text = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
        raise Refused(400, text)


_CONSULT = "Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking"


def _thinking(body: dict[str, Any], model: str, betas: set[str]) -> None:
    thinking = body.get("thinking") or {"type": "disabled"}
    kind = thinking["type"]
    effort = (body.get("output_config") or {}).get("effort")
    if effort and not anthropic.takes_effort(model):
        raise Refused(400, "This model does not support the effort parameter.")
    if kind == "adaptive" and not anthropic.takes_adaptive(model):
        raise Refused(400, "adaptive thinking is not supported on this model")
    if kind == "enabled" and not anthropic.takes_budget(model):
        text = (
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
            '"output_config.effort" to control thinking behavior.'
        )
        raise Refused(400, text)
    if kind not in ("enabled", "adaptive"):
        return
    interleaved = any(beta.startswith("interleaved-thinking-") for beta in betas)
    limit = body.get("max_tokens")
    if kind == "enabled" and limit is not None and thinking["budget_tokens"] >= limit and not interleaved:
        raise Refused(400, f"`max_tokens` must be greater than `thinking.budget_tokens`. {_CONSULT}")
    if body.get("temperature") not in (None, 1):
        raise Refused(400, f"`temperature` may only be set to 1 when thinking is enabled. {_CONSULT}")
    if body.get("top_k") is not None:
        raise Refused(400, f"`top_k` must be unset when thinking is enabled. {_CONSULT}")
    if body.get("top_p") is not None and body["top_p"] < 0.95:
        raise Refused(
            400, f"`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled. {_CONSULT}"
        )
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        raise Refused(400, "Thinking may not be enabled when tool_choice forces tool use.")


def _tools(body: dict[str, Any]) -> None:
    tools = body.get("tools") or []
    names: set[str] = set()
    for index, tool in enumerate(tools):
        name = tool.get("name")
        if name in names:
            raise Refused(400, "tools: Tool names must be unique.")
        if name is not None:
            names.add(name)
        schema = tool.get("input_schema")
        if isinstance(schema, dict):
            where = f"tools.{index}.custom"
            if any(word in schema for word in ("anyOf", "oneOf", "allOf")):
                text = "input_schema does not support oneOf, allOf, or anyOf at the top level"
                raise invalid(f"{where}.input_schema", text)
            objection = anthropic_objection(schema) if tool.get("strict") else None
            if objection:
                raise invalid(where, objection)
    chosen = body.get("tool_choice")
    if chosen and not tools:
        if chosen["type"] != "none":
            raise invalid("tool_choice", "may only be specified while providing tools.")
    elif chosen and chosen["type"] == "tool" and chosen["name"] not in names:
        raise Refused(400, f"Tool '{chosen['name']}' not found in provided tools")
    history = any(
        block["type"] == "tool_use" for message in body["messages"] for block in blocks_of(message["content"])
    )
    if history and not tools:
        raise Refused(400, "Requests which include `tool_use` or `tool_result` blocks must define tools")


def _format(body: dict[str, Any]) -> None:
    wanted = (body.get("output_config") or {}).get("format")
    objection = anthropic_objection(wanted["schema"]) if wanted else None
    if objection:
        raise invalid("output_config.format.schema", objection)


def _messages(body: dict[str, Any], model: str, version: str) -> None:
    messages = body["messages"]
    if not messages:
        raise invalid("messages", "at least one message is required")
    for index, block in enumerate(blocks_of(body.get("system") or [])):
        if not block["text"] and not isinstance(body["system"], str):
            raise Refused(400, "system: text content blocks must be non-empty")
        if not block["text"] and block.get("cache_control"):
            raise invalid(f"system.{index}", "cache_control cannot be set for empty text blocks")
    for index, message in enumerate(messages):
        _one_message(messages, index, message, model, version)
    _pairs(messages)
    last = messages[-1]
    if last["role"] == "assistant":
        if not anthropic.takes_prefill(model):
            text = (
                "This model does not support assistant message prefill. The conversation must end with a user message."
            )
            raise Refused(400, text)
        ending = blocks_of(last["content"])[-1:]
        if ending and ending[0]["type"] == "text" and ending[0]["text"] != ending[0]["text"].rstrip():
            raise invalid("messages", "final assistant content cannot end with trailing whitespace")


def _one_message(messages: list[Any], index: int, message: dict[str, Any], model: str, version: str) -> None:
    role, blocks = message["role"], blocks_of(message["content"])
    if role == "system":
        if not anthropic.takes_system_messages(model):
            raise Refused(400, "role 'system' is not supported on this model")
        if index == 0 and blocks:
            raise invalid("messages.0", "use the top-level 'system' parameter for the initial system prompt")
        return
    final = index == len(messages) - 1 and role == "assistant"
    empty = not blocks or (isinstance(message["content"], str) and not message["content"])
    if empty and not final:
        text = "all messages must have non-empty content except for the optional final assistant message"
        raise invalid(f"messages.{index}", text)
    for number, block in enumerate(blocks):
        kind, where = block["type"], f"messages.{index}.content.{number}"
        if kind == "text" and not block["text"] and not empty:
            raise Refused(400, "messages: text content blocks must be non-empty")
        if kind == "text" and not block["text"].strip() and not final and not empty:
            raise Refused(400, "messages: text content blocks must contain non-whitespace text")
        if kind in ("tool_use", "thinking", "redacted_thinking", "server_tool_use") and role != "assistant":
            raise invalid(f"messages.{index}", f"`{kind}` blocks can only be in `assistant` messages")
        if kind in ("tool_result", "image") and role != "user":
            raise invalid(f"messages.{index}", f"`{kind}` blocks can only be in `user` messages")
        if kind == "document" and role != "user" and version == anthropic.NEW_VERSION:
            raise invalid(where, "`document` blocks are not permitted in `assistant` messages")
        if kind == "text" and role == "user" and block.get("citations") and version == anthropic.NEW_VERSION:
            raise invalid(f"{where}.text.citations", "citations are not permitted on `text` blocks in `user` messages")


def _turns(messages: list[dict[str, Any]]) -> list[tuple[int, str, list[tuple[str, dict[str, Any]]]]]:
    """Consecutive messages of one role as a turn: (index of the first, role, [(path, block)]), without system ones."""
    turns: list[tuple[int, str, list[tuple[str, dict[str, Any]]]]] = []
    for index, message in enumerate(messages):
        if message["role"] == "system":
            continue
        placed = [
            (f"messages.{index}.content.{number}", block) for number, block in enumerate(blocks_of(message["content"]))
        ]
        if turns and turns[-1][1] == message["role"]:
            turns[-1][2].extend(placed)
        else:
            turns.append((index, message["role"], placed))
    return turns


def _pairs(messages: list[dict[str, Any]]) -> None:
    turns = _turns(messages)
    for at, (index, role, blocks) in enumerate(turns):
        if role == "user":
            before = turns[at - 1][2] if at else []
            called = {block["id"] for _, block in before if block["type"] == "tool_use"}
            _results(blocks, called)
            continue
        called = [block["id"] for _, block in blocks if block["type"] == "tool_use"]
        if len(set(called)) < len(called):
            raise invalid("messages", "`tool_use` ids must be unique")
        after = turns[at + 1][2] if at + 1 < len(turns) else []
        leading: set[str] = set()
        for _, block in after:
            if block["type"] != "tool_result":
                break
            leading.add(block["tool_use_id"])
        missing = [call_id for call_id in called if call_id not in leading]
        if missing:
            text = (
                f"`tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(missing)}. Each "
                "`tool_use` block must have a corresponding `tool_result` block in the next message."
            )
            raise invalid(f"messages.{index}", text)


def _results(blocks: list[tuple[str, dict[str, Any]]], called: set[str]) -> None:
    answered: set[str] = set()
    for where, block in blocks:
        if block["type"] != "tool_result":
            continue
        if block["tool_use_id"] not in called:
            text = (
                f"unexpected `tool_use_id` found in `tool_result` blocks: {block['tool_use_id']}. Each `tool_result` "
                "block must have a corresponding `tool_use` block in the previous message."
            )
            raise invalid(where, text)
        if block["tool_use_id"] in answered:
            text = "each `tool_use` must have a single result. Found multiple `tool_result` blocks with id: "
            raise invalid(where, text + block["tool_use_id"])
        answered.add(block["tool_use_id"])
        parts = block.get("content")
        if isinstance(parts, list) and any(part["type"] == "text" and not part["text"] for part in parts):
            raise Refused(400, "messages: text content blocks must be non-empty")
        if block.get("is_error") and isinstance(parts, list) and any(part["type"] != "text" for part in parts):
            raise invalid(where, "all content must be type `text` if `is_error` is true")


def _signatures(body: dict[str, Any]) -> None:
    messages = body["messages"]
    for _, role, blocks in _turns(messages):
        if role != "assistant":
            continue
        for where, block in blocks:
            if block["type"] == "thinking" and not intact(block["signature"], "thinking", block["thinking"]):
                raise invalid(where, "Invalid `signature` in `thinking` block")
            if block["type"] == "redacted_thinking" and not intact(block["data"], "redacted", ""):
                raise invalid(where, "Invalid `data` in `redacted_thinking` block")
    turns = _turns(messages)
    enabled = (body.get("thinking") or {}).get("type") == "enabled"
    if not enabled or len(turns) < 2 or turns[-1][1] != "user":
        return
    # Within a tool loop the assistant's turn has to begin with its thinking.
    looping = any(block["type"] == "tool_result" for _, block in turns[-1][2])
    where, first = turns[-2][2][0] if turns[-2][2] else ("", {"type": "text"})
    if looping and first["type"] not in ("thinking", "redacted_thinking"):
        text = (
            f"Expected `thinking` or `redacted_thinking`, but found `{first['type']}`. When `thinking` is enabled, a "
            "final `assistant` message must start with a thinking block (preceeding the lastmost set of `tool_use` and "
            "`tool_result` blocks). We recommend you include thinking blocks from previous turns. To avoid this "
            f"requirement, disable `thinking`. {_CONSULT}"
        )
        raise invalid(f"{where}.type", text)


def _marks(body: dict[str, Any]) -> int:
    blocks = blocks_of(body.get("system") or []) + list(body.get("tools") or [])
    for message in body["messages"]:
        for block in blocks_of(message["content"]):
            blocks.append(block)
            if block["type"] == "tool_result":
                blocks += blocks_of(block.get("content") or [])
    return sum(bool(block.get("cache_control")) for block in blocks) + bool(body.get("cache_control"))
