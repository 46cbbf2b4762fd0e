"""What Bedrock's Converse refuses beyond shapes."""

from __future__ import annotations

import json
from typing import Any

from .converse_wire import Refused, family, invalid
from .seals import intact

_ONLY_USER = ("image", "document", "video", "audio", "toolResult", "searchResult")
_ONLY_ASSISTANT = ("toolUse", "reasoningContent")
_CLAUDE_FIELDS = ("thinking", "top_k", "output_config", "tool_choice", "anthropic_beta")


def check(body: dict[str, Any], model: str) -> None:
    """Raises Refused."""
    messages = body.get("messages") or []
    if not messages:
        raise invalid("The messages field is required. Add a message and try again.")
    if messages[0]["role"] != "user":
        raise invalid("A conversation must start with a user message. Try again with a conversation that starts so.")
    _turns(messages)
    _blocks(messages, model)
    _documents(messages)
    _tools(body, messages)
    _points(body, messages, model)
    _own_fields(body, model)
    _format(body)


def _turns(messages: list[dict[str, Any]]) -> None:
    for index, message in enumerate(messages):
        if not message["content"]:
            raise invalid(f"The content field in the Message object at messages.{index} is empty.")
        if index and message["role"] == messages[index - 1]["role"]:
            raise invalid(f"A conversation must alternate between user and assistant roles (messages.{index}).")


def _blocks(messages: list[dict[str, Any]], model: str) -> None:
    for index, message in enumerate(messages):
        for place, block in enumerate(message["content"]):
            kind = next(iter(block))
            at = f"messages.{index}.content.{place}"
            if kind == "text" and not block["text"].strip():
                raise invalid(f"The text field in the ContentBlock object at {at} is blank.")
            wrong = _ONLY_ASSISTANT if message["role"] == "user" else _ONLY_USER
            if kind in wrong:
                raise invalid(f"The {message['role']} role does not support {kind} at {at}.")
            if kind == "toolResult":
                if "status" in block[kind] and family(model) == "other":
                    raise invalid("This model doesn't support the status field. Remove status and try again.")
                if any("text" in part and not part["text"].strip() for part in block[kind]["content"]):
                    raise invalid(f"The text field in the toolResult at {at} is blank.")
            if kind == "reasoningContent":
                _reasoning(block[kind], at, model)
    last = messages[-1]
    final = last["content"][-1]
    if last["role"] == "assistant" and "text" in final and final["text"] != final["text"].rstrip():
        raise invalid("messages: final assistant content cannot end with trailing whitespace")
    if last["role"] == "assistant" and "reasoningContent" in final:
        raise invalid("The final block in an assistant message cannot be `thinking`.")


def _reasoning(value: dict[str, Any], at: str, model: str) -> None:
    if family(model) != "claude":
        return
    if "redactedContent" in value:
        good = intact(value["redactedContent"], "redacted", "")
    else:
        told = value["reasoningText"]
        good = intact(told.get("signature"), "thinking", told["text"])
    if not good:
        raise invalid(f"{at}: Invalid `signature` in `thinking` block")


def _documents(messages: list[dict[str, Any]]) -> None:
    held: list[dict[str, Any]] = []
    images = 0
    for index, message in enumerate(messages):
        blocks = list(message["content"])
        if any("document" in block for block in blocks) and not any("text" in block for block in blocks):
            raise invalid(f"messages.{index}: a text block must be included when a document is given.")
        for block in message["content"]:
            blocks += block.get("toolResult", {}).get("content", [])
        held += [block["document"] for block in blocks if "document" in block]
        images += sum("image" in block for block in blocks)
    names = [each["name"] for each in held]
    if len(names) > 5:
        raise invalid("You can't include more than 5 documents in a request.")
    if len(set(names)) < len(names):
        raise invalid("Messages can't contain duplicate document names. Rename the document and retry your request.")
    if images > 20:
        raise invalid("You can't include more than 20 images in a message.")


def _tools(body: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    config = body.get("toolConfig")
    used = [block for message in messages for block in message["content"] if block.keys() & {"toolUse", "toolResult"}]
    if used and config is None:
        raise invalid("The toolConfig field must be defined when using toolUse and toolResult content blocks.")
    named = [tool["toolSpec"]["name"] for tool in (config or {"tools": []})["tools"] if "toolSpec" in tool]
    if len(set(named)) < len(named):
        raise invalid("The tool names in toolConfig must be unique.")
    chosen = ((config or {}).get("toolChoice") or {}).get("tool")
    if chosen and chosen["name"] not in named:
        raise invalid(f"The tool {chosen['name']} of toolChoice is not in toolConfig.tools.")
    waiting: list[str] = []
    for index, message in enumerate(messages):
        given = [block["toolResult"]["toolUseId"] for block in message["content"] if "toolResult" in block]
        missing = [call_id for call_id in waiting if call_id not in given]
        if missing:
            ids = ", ".join(missing)
            raise invalid(f"Expected toolResult blocks at messages.{index}.content for the following Ids: {ids}")
        if len(given) > len(waiting) or set(given) - set(waiting):
            raise invalid(
                f"The number of toolResult blocks at messages.{index}.content exceeds the number of toolUse blocks of "
                "previous turn."
            )
        waiting = [block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block]
        if len(set(waiting)) < len(waiting):
            raise invalid(f"messages.{index}: `tool_use` ids must be unique")
    if waiting:
        raise invalid(f"Expected toolResult blocks for the following Ids: {', '.join(waiting)}")


def _points(body: dict[str, Any], messages: list[dict[str, Any]], model: str) -> None:
    tools = (body.get("toolConfig") or {"tools": []})["tools"]
    holders = [tools, body.get("system") or [], *(message["content"] for message in messages)]
    points = [(blocks, at) for blocks in holders for at, block in enumerate(blocks) if "cachePoint" in block]
    if not points:
        return
    if family(model) == "other":
        message = "You invoked an unsupported model or your request did not allow prompt caching."
        raise Refused(403, message)
    if family(model) == "nova" and any(blocks is tools for blocks, _ in points):
        raise invalid("This model doesn't support cachePoint in tools.")
    if len(points) > 4:
        raise invalid(f"A maximum of 4 blocks with cache_control may be provided. Found {len(points)}.")
    for blocks, at in points:
        if at == 0 or "cachePoint" in blocks[at - 1] or "reasoningContent" in blocks[at - 1]:
            raise invalid("A cachePoint must follow the block that it is for.")


def _own_fields(body: dict[str, Any], model: str) -> None:
    own, inference = body.get("additionalModelRequestFields") or {}, body.get("inferenceConfig") or {}
    if family(model) == "nova":
        effort = (own.get("reasoningConfig") or {}).get("maxReasoningEffort")
        if effort == "high" and inference.keys() & {"temperature", "topP", "maxTokens"}:
            raise invalid("temperature, topP and maxTokens must be unset when maxReasoningEffort is high.")
    if family(model) != "claude":
        return
    extraneous = [name for name in own if name not in _CLAUDE_FIELDS]
    if extraneous:
        raise invalid(f"Malformed input request: #: extraneous key [{extraneous[0]}] is not permitted")
    if {"temperature", "topP"} <= inference.keys():
        raise invalid("`temperature` and `top_p` cannot both be specified for this model.")
    choice = (body.get("toolConfig") or {}).get("toolChoice")
    if choice and "tool_choice" in own:
        raise invalid("The additional field tool_choice conflicts with an existing field.")
    if "tool_choice" in own and "type" not in own["tool_choice"]:
        raise invalid("tool_choice.type: Field required")
    thinking = own.get("thinking") or {"type": "disabled"}
    if thinking["type"] == "disabled":
        return
    if "temperature" in inference and inference["temperature"] != 1:
        raise invalid("`temperature` may only be set to 1 when thinking is enabled.")
    if "top_k" in own:
        raise invalid("`top_k` must be unset when thinking is enabled.")
    if choice and "auto" not in choice:
        raise invalid("Thinking may not be enabled when tool_choice forces tool use.")
    if thinking["type"] == "enabled":
        budget = thinking.get("budget_tokens", 0)
        if budget < 1024:
            raise invalid("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if budget >= inference.get("maxTokens", 4096):
            raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")
        _loop(body["messages"])


def _loop(messages: list[dict[str, Any]]) -> None:
    if len(messages) > 1 and any("toolResult" in block for block in messages[-1]["content"]):
        if "reasoningContent" not in messages[-2]["content"][0]:
            raise invalid("Expected `thinking` or `redacted_thinking`, but found `tool_use`.")


def _format(body: dict[str, Any]) -> None:
    wanted = (body.get("outputConfig") or {}).get("textFormat")
    if not wanted:
        return
    try:
        schema = json.loads(wanted["structure"]["jsonSchema"]["schema"])
    except ValueError:
        raise invalid("outputConfig.textFormat: the schema is not valid JSON") from None
    if _open(schema):
        raise invalid("outputConfig.textFormat: for 'object' type, 'additionalProperties' must be set to false")


def _open(schema: Any) -> bool:
    """Whether any object in the schema is not closed."""
    if isinstance(schema, list):
        return any(_open(each) for each in schema)
    if not isinstance(schema, dict):
        return False
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        return True
    return any(_open(each) for each in schema.values())
