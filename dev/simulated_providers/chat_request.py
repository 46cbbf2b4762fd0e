"""Reads and checks a body of OpenAI's Chat Completions API."""

from __future__ import annotations

from typing import Any

from . import openai_common as openai
from .chat_shapes import CREATE
from .dialect import Dialect
from .openai_common import Refused
from .reading import Heard, Item, Tool, media_label
from .shapes import Problem


def read(body: Any, extra: tuple[str, ...], dialect: Dialect) -> Heard:
    """The neutral reading of a body that is in OpenAI's terms. Raises Problem or Refused."""
    if "model" not in body:
        raise Refused(400, "you must provide a model parameter")
    CREATE(body, ())
    model = body["model"]
    if not dialect.knows(model, extra):
        raise dialect.unknown_model(openai.bare(model))
    if dialect.checks_model:
        _check_model(body, model)
    _check_options(body)
    stop = body.get("stop") or []
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    heard = Heard(dialect.vendor, openai.bare(model), limit=limit, stop=[stop] if isinstance(stop, str) else stop)
    heard.parallel = body.get("parallel_tool_calls") is not False
    heard.thinks = dialect.thinks(model, body.get("reasoning_effort"))
    _read_tools(body, heard)
    _read_format(body, heard, dialect)
    _check_pairs(body["messages"])
    for index, message in enumerate(body["messages"]):
        if message.get("reasoning_content") is not None and not dialect.takes_thoughts:
            raise Problem("unknown", ("messages", index, "reasoning_content"))
        _read_message(message, heard, index)
    return heard


def _unsupported(name: str, value: Any) -> Refused:
    text = f"Unsupported value: '{name}' does not support {value} with this model. "
    return Refused(400, text + "Only the default (1) value is supported.", "unsupported_value", name)


def _check_model(body: dict[str, Any], model: str) -> None:
    openai.check_effort(model, body.get("reasoning_effort"), "reasoning_effort")
    openai.check_verbosity(model, body.get("verbosity"), "verbosity")
    if not openai.reasons(model):
        return
    if body.get("max_tokens") is not None:
        text = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
        raise Refused(400, text, "unsupported_parameter", "max_tokens")
    for name, default in (("temperature", 1), ("top_p", 1), ("presence_penalty", 0), ("frequency_penalty", 0)):
        if body.get(name) not in (None, default):
            error = _unsupported(name, body[name])
            error.message = error.message.replace("(1)", f"({default})")
            raise error
    for name in ("logprobs", "top_logprobs", "logit_bias", "stop"):
        if body.get(name):
            text = f"Unsupported parameter: '{name}' is not supported with this model."
            raise Refused(400, text, "unsupported_parameter", name)


def _check_options(body: dict[str, Any]) -> None:
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        text = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise Refused(400, text, "invalid_parameter_combination", "max_tokens")
    if body.get("stream_options") is not None and not body.get("stream"):
        text = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise Refused(400, text, None, "stream_options")
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        text = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled."
        raise Refused(400, text, None, "top_logprobs")
    if "audio" in (body.get("modalities") or []) and not body.get("audio"):
        text = "Audio output requires the 'audio' parameter."
        raise Refused(400, text, "missing_required_parameter", "audio")
    if not body.get("tools"):
        for name in ("tool_choice", "parallel_tool_calls"):
            if body.get(name) is not None:
                raise Refused(400, f"'{name}' is only allowed when 'tools' are specified.", None, name)


def _read_tools(body: dict[str, Any], heard: Heard) -> None:
    offered = [(f"tools[{i}].function.parameters", tool) for i, tool in enumerate(body.get("tools") or [])]
    legacy = body.get("functions") or []
    offered += [(f"functions[{i}].parameters", {"type": "function", "function": one}) for i, one in enumerate(legacy)]
    for param, tool in offered:
        if tool["type"] == "custom":
            heard.tools.append(Tool(tool["custom"]["name"], "custom"))
            continue
        one = tool["function"]
        openai.check_function(one["name"], one.get("parameters"), one.get("strict") is True, param)
        heard.tools.append(Tool(one["name"], "function", one.get("parameters") or {"type": "object"}))
    if body.get("web_search_options") is not None or "search" in body["model"]:
        heard.tools.append(Tool("web_search", "web_search"))
    _read_choice(body.get("tool_choice") or body.get("function_call") or "auto", heard)


def _read_choice(chosen: Any, heard: Heard) -> None:
    if isinstance(chosen, str):
        heard.choice = chosen
        return
    kind = chosen.get("type", "function")
    if kind == "allowed_tools":
        allowed = chosen["allowed_tools"]
        names = {one.get(one.get("type", "function"), {}).get("name") for one in allowed.get("tools", [])}
        heard.tools = [tool for tool in heard.tools if tool.name in names]
        heard.choice = "required" if allowed.get("mode") == "required" else "auto"
        return
    name = (chosen.get(kind) or chosen).get("name")
    if name not in [tool.name for tool in heard.tools]:
        text = f"Tool choice '{name}' not found in 'tools' parameter."
        raise Refused(400, text, None, "tool_choice")
    heard.choice, heard.choice_name = "named", name


def _read_format(body: dict[str, Any], heard: Heard, dialect: Dialect) -> None:
    wanted: dict[str, Any] = body.get("response_format") or {"type": "text"}
    if wanted["type"] == "json_object":
        if dialect.json_word and "json" not in str(body["messages"]).lower():
            text = (
                "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
            )
            raise Refused(400, text, None, "messages")
        heard.schema = {}
    elif wanted["type"] == "json_schema":
        given = wanted["json_schema"]
        schema = given.get("schema")
        if schema is not None:
            openai.check_format(given["name"], schema, given.get("strict") is True, "response_format", None)
        heard.schema = schema or {}


def _check_pairs(messages: list[dict[str, Any]]) -> None:
    waiting: list[str] = []
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                text = (
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    "'tool_calls'."
                )
                raise Refused(400, text, None, f"messages.[{index}].role")
            waiting.remove(message["tool_call_id"])
            continue
        _answered(waiting, index)
        waiting = [call["id"] for call in message.get("tool_calls") or []]
    _answered(waiting, len(messages))


def _answered(waiting: list[str], index: int) -> None:
    if waiting:
        text = (
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}"
        )
        raise Refused(400, text, None, f"messages.[{index}].role")


def _read_parts(content: Any) -> tuple[list[str], list[str]]:
    if content is None:
        return [], []
    if isinstance(content, str):
        return ([content] if content else []), []
    texts: list[str] = []
    media: list[str] = []
    for part in content:
        match part["type"]:
            case "image_url":
                url = part["image_url"]["url"]
                inline = url if url.startswith("data:") else None
                media.append(media_label("image", inline, url="" if inline else url))
            case "input_audio":
                media.append(media_label("audio", part["input_audio"]["data"], part["input_audio"]["format"]))
            case "file":
                file = part["file"]
                name, where = file.get("filename") or "", file.get("file_id") or ""
                media.append(media_label("file", file.get("file_data"), url=where, name=name))
            case "refusal":
                texts.append(part["refusal"])
            case _:
                texts.append(part["text"])
    return texts, media


def _read_message(message: dict[str, Any], heard: Heard, index: int) -> None:
    role = message["role"]
    texts, media = _read_parts(message.get("content"))
    if role in ("system", "developer"):
        if heard.items:
            heard.items.append(Item("message", "system", texts, media))
        else:
            heard.system += texts
    elif role in ("tool", "function"):
        call_id = message.get("tool_call_id") or message["name"]
        heard.items.append(Item("result", texts=texts, media=media, call_id=call_id))
    elif role == "user":
        heard.items.append(Item("message", "user", texts, media))
    else:
        _read_assistant(message, texts, heard, index)


def _read_assistant(message: dict[str, Any], texts: list[str], heard: Heard, index: int) -> None:
    refused = bool(message.get("refusal"))
    texts = texts + ([message["refusal"]] if refused else [])
    calls = message.get("tool_calls") or []
    if (
        not texts
        and not calls
        and not message.get("function_call")
        and not message.get("audio")
        and message.get("content") is None
    ):
        text = "Invalid value for 'content': expected a string, got null."
        raise Refused(400, text, None, f"messages.[{index}].content")
    if message.get("reasoning_content"):
        heard.items.append(Item("thought", texts=[message["reasoning_content"]]))
    if texts:
        heard.items.append(Item("message", "assistant", texts, refused=refused))
    if message.get("audio"):
        heard.items.append(Item("other", name="audio of before"))
    for call in calls:
        one = call.get("function") or call["custom"]
        given = one["arguments"] if "arguments" in one else one["input"]
        heard.items.append(Item("call", name=one["name"], call_id=call["id"], arguments=given))
    legacy = message.get("function_call")
    if legacy:
        heard.items.append(Item("call", name=legacy["name"], call_id=legacy["name"], arguments=legacy["arguments"]))
