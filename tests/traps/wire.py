"""What a request says, read from the six protocols in which vendors are asked."""

from __future__ import annotations

from typing import Any

from dev.simulated_providers.recorder import Recorded

Body = dict[str, Any]


def protocol_of(recorded: Recorded) -> str:
    """The protocol of a request that a vendor received."""
    path = recorded.path
    if "generateContent" in path.replace("streamG", "g"):
        return "gemini"
    if "/converse" in path:
        return "converse"
    if path.endswith("/v2/chat"):
        return "cohere"
    if path.endswith("/chat/completions"):
        return "chat_completions"
    return "responses" if path.endswith("/responses") else "messages"


def tools_of(recorded: Recorded) -> list[tuple[str, Any]]:
    """(name, JSON schema of the arguments) of each function on offer."""
    body = recorded.body
    match protocol_of(recorded):
        case "responses":
            return [(tool["name"], tool["parameters"]) for tool in body.get("tools", ()) if tool["type"] == "function"]
        case "chat_completions" | "cohere":
            functions = [tool["function"] for tool in body.get("tools", ())]
            return [(function["name"], function.get("parameters")) for function in functions]
        case "messages":
            return [(tool["name"], tool["input_schema"]) for tool in body.get("tools", ())]
        case "gemini":
            declared = [each for tool in body.get("tools", ()) for each in tool.get("functionDeclarations", ())]
            return [(each["name"], each.get("parametersJsonSchema", each.get("parameters"))) for each in declared]
        case _:
            specs = [tool["toolSpec"] for tool in body.get("toolConfig", {}).get("tools", ()) if "toolSpec" in tool]
            return [(spec["name"], spec["inputSchema"]["json"]) for spec in specs]


def choice_of(recorded: Recorded) -> str | None:
    """auto, none, required, the chosen tool's name, or None where nothing is said."""
    body = recorded.body
    match protocol_of(recorded):
        case "responses":
            choice = body.get("tool_choice")
            return choice["name"] if isinstance(choice, dict) else choice
        case "chat_completions":
            choice = body.get("tool_choice")
            # Mistral and others have a word of their own for it.
            choice = "required" if choice == "any" else choice
            return choice["function"]["name"] if isinstance(choice, dict) else choice
        case "messages":
            choice = body.get("tool_choice") or {}
            return {"any": "required", "tool": choice.get("name")}.get(choice.get("type"), choice.get("type"))
        case "gemini":
            config = body.get("toolConfig", {}).get("functionCallingConfig", {})
            names = config.get("allowedFunctionNames")
            return {"ANY": names[0] if names else "required", "NONE": "none", "AUTO": "auto"}.get(config.get("mode"))
        case "converse":
            choice = body.get("toolConfig", {}).get("toolChoice")
            if choice is None:
                return None
            return choice["tool"]["name"] if "tool" in choice else {"any": "required"}.get(*choice, *choice)
        case _:
            # Cohere names a tool by offering no other.
            return {"REQUIRED": "required", "NONE": "none"}.get(body.get("tool_choice"))


def one_call_only(recorded: Recorded) -> bool:
    """Whether parallel calls are switched off."""
    body = recorded.body
    match protocol_of(recorded):
        case "responses" | "chat_completions":
            return body.get("parallel_tool_calls") is False
        case "messages":
            return (body.get("tool_choice") or {}).get("disable_parallel_tool_use") is True
        case "converse":
            own = body.get("additionalModelRequestFields", {}).get("tool_choice", {})
            return own.get("disable_parallel_tool_use") is True
        case _:
            return False


def limit_of(recorded: Recorded) -> int | None:
    """The bound on output tokens."""
    body = recorded.body
    match protocol_of(recorded):
        case "responses":
            return body.get("max_output_tokens")
        case "chat_completions":
            assert not {"max_tokens", "max_completion_tokens"} <= set(body)
            return body.get("max_completion_tokens", body.get("max_tokens"))
        case "gemini":
            return body.get("generationConfig", {}).get("maxOutputTokens")
        case "converse":
            return body.get("inferenceConfig", {}).get("maxTokens")
        case _:
            return body.get("max_tokens")


def blocks_of(recorded: Recorded) -> list[tuple[str, list[tuple[str, str]]]]:
    """The turns of a protocol whose turns hold blocks (Messages, Converse, Gemini): (role, [(kind, essence)]). Kinds:
    text, thinking, redacted, call (essence: id), result (id), image, mark, other."""
    protocol, body = protocol_of(recorded), recorded.body
    if protocol == "gemini":
        return [(turn["role"], [_gemini_part(part) for part in turn["parts"]]) for turn in body["contents"]]
    kind = _message_block if protocol == "messages" else _converse_block
    return [(turn["role"], [kind(block) for block in _listed(turn["content"])]) for turn in body["messages"]]


def _listed(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _message_block(block: Body) -> tuple[str, str]:
    match block["type"]:
        case "text":
            return "text", block["text"]
        case "thinking":
            return "thinking", block["signature"]
        case "redacted_thinking":
            return "redacted", block["data"]
        case "tool_use":
            return "call", block["id"]
        case "tool_result":
            return "result", block["tool_use_id"]
        case kind:
            return kind, ""


def _converse_block(block: Body) -> tuple[str, str]:
    ((kind, value),) = block.items()
    match kind:
        case "text":
            return "text", value
        case "reasoningContent":
            text = value.get("reasoningText")
            return ("thinking", text.get("signature", "")) if text else ("redacted", value["redactedContent"])
        case "toolUse":
            return "call", value["toolUseId"]
        case "toolResult":
            return "result", value["toolUseId"]
        case "cachePoint":
            return "mark", value.get("ttl", "5m")
        case _:
            return kind, ""


def _gemini_part(part: Body) -> tuple[str, str]:
    if "functionCall" in part:
        return "call", part["functionCall"].get("id", "")
    if "functionResponse" in part:
        return "result", part["functionResponse"].get("id", "")
    if "text" in part:
        return ("thinking", part.get("thoughtSignature", "")) if part.get("thought") else ("text", part["text"])
    return ("image" if "inlineData" in part else "other"), ""


def prefix_length(first: str, second: str) -> int:
    """How many characters two bodies have in common from the start."""
    return next(
        (at for at, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
