"""Reads and checks a body of OpenAI's Responses API."""

from __future__ import annotations

from typing import Any

from . import openai_common as openai
from .dialect import Dialect
from .openai_common import Refused
from .reading import Heard, Item, Tool, media_label
from .responses_shapes import COUNT, CREATE
from .seals import intact, made_here
from .shapes import Problem


def read(
    body: Any, key: str, stored: Any, extra: tuple[str, ...], dialect: Dialect, *, counting: bool = False
) -> Heard:
    """The neutral reading of a body. ``stored`` has the ids of items that the vendor keeps. Raises Problem, Refused."""
    (COUNT if counting else CREATE)(body, ())
    model = body["model"]
    if not dialect.knows(model, extra):
        text = f"The requested model '{openai.bare(model)}' does not exist."
        raise Refused(400, text, "model_not_found", "model")
    if body.get("input") is None and not body.get("prompt"):
        raise Problem("missing", ("input",))
    if dialect.checks_model:
        _check_model(body, model)
    if body.get("previous_response_id"):
        text = f"Previous response with id '{body['previous_response_id']}' not found."
        raise Refused(400, text, "previous_response_not_found", "previous_response_id")
    heard = Heard(dialect.vendor, openai.bare(model), limit=body.get("max_output_tokens"))
    heard.parallel = body.get("parallel_tool_calls") is not False
    reasoning = body.get("reasoning") or {}
    heard.thinks = dialect.thinks(model, reasoning.get("effort"))
    if body.get("instructions"):
        heard.system.append(body["instructions"])
    _read_tools(body, heard)
    _read_format(body, heard, dialect)
    given = body.get("input") or []
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    _check_pairs(items)
    _check_reasoning(items, key, stored, store=body.get("store") is not False)
    for item in items:
        _read_item(item, heard)
    return heard


def _check_model(body: dict[str, Any], model: str) -> None:
    reasoning, text = body.get("reasoning") or {}, body.get("text") or {}
    openai.check_effort(model, reasoning.get("effort"), "reasoning.effort")
    openai.check_verbosity(model, text.get("verbosity"), "text.verbosity")
    if openai.reasons(model):
        for name in ("temperature", "top_p"):
            if body.get(name) not in (None, 1):
                wrong = f"Unsupported parameter: '{name}' is not supported with this model."
                raise Refused(400, wrong, "unsupported_parameter", name)
    elif "reasoning.encrypted_content" in (body.get("include") or []):
        raise Refused(400, "Encrypted content is not supported with this model.", None, "include")


def _read_tools(body: dict[str, Any], heard: Heard) -> None:
    for index, tool in enumerate(body.get("tools") or []):
        within = tool["tools"] if tool["type"] == "namespace" else [tool]
        for one in within:
            kind = one["type"]
            if kind == "function":
                parameters = one.get("parameters")
                openai.check_function(one["name"], parameters, one.get("strict") is True, f"tools[{index}].parameters")
                heard.tools.append(Tool(one["name"], "function", parameters or {"type": "object"}))
            elif kind == "custom":
                heard.tools.append(Tool(one["name"], "custom"))
            else:
                heard.tools.append(Tool(kind, "web_search" if kind.startswith("web_search") else "hosted"))
    chosen = body.get("tool_choice") or "auto"
    if isinstance(chosen, dict):
        _read_choice(chosen, heard)
    else:
        heard.choice = chosen
        if chosen == "required" and not heard.tools:
            raise Refused(400, "Tool choice 'required' must be specified with 'tools' parameter.", None, "tool_choice")


def _read_choice(chosen: dict[str, Any], heard: Heard) -> None:
    kind = chosen.get("type")
    if kind in ("function", "custom"):
        name = chosen.get("name")
        if name not in [tool.name for tool in heard.tools]:
            raise Refused(400, f"Tool choice '{kind}' not found in 'tools' parameter.", None, "tool_choice")
        heard.choice, heard.choice_name = "named", str(name)
    elif kind == "allowed_tools":
        allowed = {one.get("name", one.get("type")) for one in chosen.get("tools", [])}
        heard.tools = [tool for tool in heard.tools if tool.name in allowed]
        heard.choice = "required" if chosen.get("mode") == "required" else "auto"
    else:
        if not any(tool.name == kind for tool in heard.tools):
            raise Refused(400, f"Tool choice '{kind}' not found in 'tools' parameter.", None, "tool_choice")
        heard.choice, heard.choice_name = "named", str(kind)


def _read_format(body: dict[str, Any], heard: Heard, dialect: Dialect) -> None:
    wanted: dict[str, Any] = (body.get("text") or {}).get("format") or {"type": "text"}
    if wanted["type"] == "json_object":
        if dialect.json_word and "json" not in str(body.get("input")).lower() + str(body.get("instructions")).lower():
            text = (
                "Response input messages must contain the word 'json' in some form to use 'text.format' of type "
                "'json_object'."
            )
            raise Refused(400, text, None, "input")
        heard.schema = {}
    elif wanted["type"] == "json_schema":
        strict = wanted.get("strict") is not False
        openai.check_format(wanted["name"], wanted["schema"], strict, "text.format.schema", "invalid_json_schema")
        heard.schema = wanted["schema"]


def _check_pairs(items: list[dict[str, Any]]) -> None:
    for word, call, output in (
        ("function", "function_call", "function_call_output"),
        ("custom tool", "custom_tool_call", "custom_tool_call_output"),
    ):
        called = [item["call_id"] for item in items if item.get("type") == call]
        answered = [item["call_id"] for item in items if item.get("type") == output]
        for call_id in answered:
            if call_id not in called:
                text = f"No tool call found for {word} call output with call_id {call_id}."
                raise Refused(400, text, None, "input")
        for call_id in called:
            if call_id not in answered:
                raise Refused(400, f"No tool output found for {word} call {call_id}.", None, "input")


def _check_reasoning(items: list[dict[str, Any]], key: str, stored: Any, *, store: bool) -> None:
    for index, item in enumerate(items):
        kind = item.get("type")
        if kind == "item_reference" or (kind == "reasoning" and item.get("encrypted_content") is None):
            own = item.get("id")
            if own is not None and own not in stored:
                text = f"Item with id '{own}' not found."
                if not store:
                    text += (
                        " Items are not persisted when `store` is set to false. Try again with `store` set to true, "
                        "or remove this item from your input."
                    )
                raise Refused(404, text, None, "input")
        if kind != "reasoning":
            continue
        sealed = item.get("encrypted_content")
        if sealed is not None and not intact(sealed, "reasoning", key):
            what = f"for item {item['id']}" if item.get("id") else f"{sealed[:4]}...{sealed[-4:]}"
            reason = "could not be decrypted or parsed."
            if made_here(sealed, "reasoning"):
                reason = "organization_id did not match the target organization."
            text = f"The encrypted content {what} could not be verified. Reason: Encrypted content {reason}"
            raise Refused(400, text, "invalid_encrypted_content")
        following = items[index + 1] if index + 1 < len(items) else {"role": "user"}
        alone = following.get("role") in ("user", "system", "developer") or str(following.get("type")).endswith(
            "_output"
        )
        if item.get("id") and alone:
            text = f"Item '{item['id']}' of type 'reasoning' was provided without its required following item."
            raise Refused(400, text, None, "input")


def _read_parts(content: Any) -> tuple[list[str], list[str], bool]:
    """(texts, media labels, whether any is a refusal)."""
    if isinstance(content, str):
        return [content], [], False
    texts: list[str] = []
    media: list[str] = []
    refused = False
    for part in content:
        match part["type"]:
            case "input_image":
                url = part.get("image_url") or part.get("file_id") or ""
                inline = url if url.startswith("data:") else None
                media.append(media_label("image", inline, url="" if inline else url))
            case "input_file":
                data, name = part.get("file_data"), part.get("filename") or ""
                where = part.get("file_url") or part.get("file_id") or ""
                media.append(media_label("file", data, url=where, name=name))
            case "refusal":
                refused = True
                texts.append(part["refusal"])
            case _:
                texts.append(part["text"])
    return texts, media, refused


def _read_item(item: dict[str, Any], heard: Heard) -> None:
    kind = item.get("type", "message")
    if kind == "message":
        texts, media, refused = _read_parts(item["content"])
        if item["role"] in ("system", "developer") and not heard.items:
            heard.system += texts
            return
        role = "system" if item["role"] == "developer" else item["role"]
        heard.items.append(Item("message", role, texts, media, refused=refused))
    elif kind in ("function_call", "custom_tool_call"):
        given = item["arguments"] if kind == "function_call" else item["input"]
        heard.items.append(Item("call", name=item["name"], call_id=item["call_id"], arguments=given))
    elif kind in ("function_call_output", "custom_tool_call_output"):
        texts, media, _ = _read_parts(item["output"])
        heard.items.append(Item("result", texts=texts, media=media, call_id=item["call_id"]))
    elif kind == "reasoning":
        texts = [part["text"] for part in [*item["summary"], *(item.get("content") or [])]]
        heard.items.append(Item("thought", texts=texts, sealed=bool(item.get("encrypted_content"))))
    elif kind == "web_search_call":
        heard.items.append(Item("search", texts=[str(item.get("action", {}).get("query") or "")]))
    else:
        heard.items.append(Item("other", name=kind))
