"""The rules of ``generateContent`` between fields, turns and models. All raise Refused."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from . import gemini_common as google
from .gemini_common import invalid
from .gemini_request import calling, config, functions, searches
from .seals import intact

SKIP = "skip_thought_signature_validator"
_NAME = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}$")
_MIME = re.compile(
    r"^(image/(png|jpeg|webp|heic|heif)|application/pdf|text/plain"
    r"|audio/(wav|mp3|mpeg|aiff|aac|ogg|flac|mp4|m4a|webm|opus)"
    r"|video/(mp4|mpeg|mov|avi|x-flv|mpg|webm|wmv|3gpp))$"
)
_DATA = ("text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult")


def check(body: dict[str, Any], model: str, *, vertex: bool) -> None:
    """Refuses what has the right shape but not the right sense."""
    _contents(body, model, vertex=vertex)
    _turns(_joined(body["contents"]))
    _settings(config(body), model)
    _thinking(config(body).get("thinkingConfig", {}), model)
    _tools(body, model)
    if google.generation(model) >= 3:
        _signatures(_joined(body["contents"]), model)


def _contents(body: dict[str, Any], model: str, *, vertex: bool) -> None:
    if not body.get("contents"):
        raise invalid("* GenerateContentRequest.contents: contents is not specified\n")
    for index, content in enumerate(body["contents"]):
        if content.get("role", "user") not in ("user", "model", "function"):
            raise invalid("Please use a valid role: user, model.")
        at = f"* GenerateContentRequest.contents[{index}].parts"
        if not content.get("parts"):
            raise invalid(f"{at}: contents.parts must not be empty.\n")
        for number, part in enumerate(content["parts"]):
            _part(part, f"{at}[{number}]", model, vertex=vertex)
            if part.get("text") == "" and content.get("role") != "model":
                raise invalid("Unable to submit request because it must have a text parameter.")


def _part(part: dict[str, Any], at: str, model: str, *, vertex: bool) -> None:
    held = [name for name in _DATA if name in part]
    if len(held) > 1:
        raise invalid(f"{at}.data: oneof field 'data' is already set. Cannot set '{held[1]}'\n")
    if not held and "thoughtSignature" not in part:
        raise invalid(f"{at}.data: required oneof field 'data' must have one initialized field\n")
    blobs = [part.get("inlineData"), *(each.get("inlineData") for each in _response(part).get("parts", []))]
    for blob in blobs:
        if blob is None:
            continue
        if not _MIME.match(blob["mimeType"]):
            raise invalid(f"Unsupported MIME type: {blob['mimeType']}")
        try:
            base64.b64decode(blob.get("data", ""), validate=True)
        except (binascii.Error, ValueError):
            raise invalid(f"Invalid value at '{at}.inline_data.data' (TYPE_BYTES), Base64 decoding failed") from None
    if _response(part).get("parts") and google.generation(model) < 3:
        raise invalid("Multimodal function responses are not supported by this model.")
    if "fileData" in part:
        uri = part["fileData"]["fileUri"]
        if not vertex and not re.match(r"https://(generativelanguage\.googleapis\.com/|(www\.)?youtu)", uri):
            raise invalid(f"Invalid or unsupported file uri: {uri}")
        if vertex and not uri.startswith(("gs://", "https://")):
            raise invalid(f"Invalid or unsupported file uri: {uri}")
        if vertex and not part["fileData"].get("mimeType"):
            raise invalid("Unable to submit request because it must have a mimeType parameter.")
    if "mediaResolution" in part and google.generation(model) < 3:
        raise invalid("Media resolution per part is not supported by this model.")


def _response(part: dict[str, Any]) -> dict[str, Any]:
    return part.get("functionResponse", {})


def _calls(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [part["functionCall"] for part in content["parts"] if "functionCall" in part]


def _joined(contents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The contents with those of one side in a row made one: the vendor's SDK gives back every event's own."""
    turns: list[dict[str, Any]] = []
    for content in contents:
        role = "model" if content.get("role") == "model" else "user"
        if not turns or turns[-1]["role"] != role:
            turns.append({"role": role, "parts": []})
        turns[-1]["parts"] += content["parts"]
    return turns


def _turns(contents: list[dict[str, Any]]) -> None:
    before: dict[str, Any] | None = None
    for content in contents:
        responses = [part["functionResponse"] for part in content["parts"] if "functionResponse" in part]
        if content.get("role") == "model" and _calls(content):
            if before is None:
                text = "Please ensure that function call turn comes immediately after a user turn or after a"
                raise invalid(f"{text} function response turn.")
        due = _calls(before) if before and before.get("role") == "model" else []
        if responses and not due:
            raise invalid("Please ensure that function response turn comes immediately after a function call turn.")
        if len(responses) != len(due):
            text = "Please ensure that the number of function response parts is equal to the number of function call"
            raise invalid(f"{text} parts of the function call turn.")
        for call, response in zip(due, responses, strict=True):
            # An id may be left out of the response, as the vendor's own SDK does.
            if call["name"] != response["name"] or response.get("id", call.get("id")) != call.get("id"):
                raise invalid(f"The function response for {response['name']} does not match the call {call['name']}.")
        before = content
    if before is not None and before.get("role") == "model" and _calls(before):
        raise invalid("Please ensure that function call turn is followed by a function response turn.")


def _between(settings: dict[str, Any], name: str, low: float, high: float, *, below: bool = False) -> None:
    value = settings.get(name)
    if value is not None and (value < low or value > high or (below and value >= high)):
        bracket = ")" if below else "]"
        text = f"Unable to submit request because it has a {name} value of {value} but the supported range is"
        raise invalid(f"{text} [{low}, {high}{bracket}. Update the value and try again.")


def _settings(settings: dict[str, Any], model: str) -> None:
    _between(settings, "temperature", 0, 2)
    _between(settings, "topP", 0, 1)
    _between(settings, "topK", 1, 1000)
    _between(settings, "maxOutputTokens", 1, 65_536)
    _between(settings, "frequencyPenalty", -2, 2, below=True)
    _between(settings, "presencePenalty", -2, 2, below=True)
    _between(settings, "logprobs", 1, 20)
    for name in ("frequencyPenalty", "presencePenalty"):
        if name in settings and google.generation(model) >= 2.5:
            raise invalid(f"Penalty is not enabled for models/{google.bare(model)}")
    if settings.get("candidateCount", 1) != 1:
        raise invalid("Multiple candidates is not enabled for this model")
    if len(settings.get("stopSequences", [])) > 5:
        raise invalid("The number of stop sequences must not exceed 5.")
    if not all(settings.get("stopSequences", [])):
        raise invalid("Stop sequences must not be empty.")
    if "logprobs" in settings and not settings.get("responseLogprobs"):
        raise invalid("logprobs may only be set when response_logprobs is true")
    mime = settings.get("responseMimeType", "text/plain")
    if mime not in ("text/plain", "application/json", "text/x.enum"):
        raise invalid(f"* GenerateContentRequest.generation_config.response_mime_type: {mime} is not supported\n")
    if "responseSchema" in settings and "responseJsonSchema" in settings:
        raise invalid("Only one of response_schema and response_json_schema may be set")
    if ("responseSchema" in settings or "responseJsonSchema" in settings) and mime == "text/plain":
        raise invalid("Response schema requires the response mime type 'application/json'")
    if "responseSchema" in settings:
        _subset(settings["responseSchema"], "GenerateContentRequest.generation_config.response_schema")


def _thinking(thinking: dict[str, Any], model: str) -> None:
    budget, level = thinking.get("thinkingBudget"), thinking.get("thinkingLevel")
    if budget is not None and level is not None:
        raise invalid("You can only set only one of thinking budget and thinking level.")
    generation = google.generation(model)
    if thinking and generation < 2.5:
        raise invalid("Thinking is not enabled for this model")
    if level is not None:
        if generation < 3:
            raise invalid("Thinking level is not supported for this model.")
        if level not in google.levels(model):
            text = f"Thinking level {level} is not supported for this model. Please retry with other thinking level."
            raise invalid(text)
    if budget is not None and budget != -1:
        least, most, off = google.budgets(model)
        if budget == 0 and not off:
            raise invalid("Budget 0 is invalid. This model only works in thinking mode.")
        if budget != 0 and not least <= budget <= most:
            text = f"The thinking budget {budget} is invalid. Please choose a value between {least} and {most}."
            raise invalid(text)


def _tools(body: dict[str, Any], model: str) -> None:
    declared = functions(body)
    if len([tool for tool in body.get("tools", []) if "functionDeclarations" in tool]) > 1:
        raise invalid("Multiple tools are supported only when they are all search tools.")
    if declared and searches(body):
        raise invalid("Tool use with function calling is unsupported")
    seen: set[str] = set()
    for index, one in enumerate(declared):
        at = f"GenerateContentRequest.tools[0].function_declarations[{index}]"
        if not _NAME.match(one["name"]):
            text = "Invalid function name. Must start with a letter or an underscore. Must be alphameric"
            raise invalid(
                f"* {at}.name: {text} (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-).\n"
            )
        if one["name"] in seen:
            raise invalid(f"Duplicate function declaration found: {one['name']}")
        seen.add(one["name"])
        if "parameters" in one and "parametersJsonSchema" in one:
            raise invalid(f"* {at}: only one of parameters and parameters_json_schema may be set\n")
        if "parameters" in one:
            _subset(one["parameters"], f"{at}.parameters")
        elif one.get("parametersJsonSchema", {}).get("type", "object") != "object":
            raise invalid(f"* {at}.parameters_json_schema: schema must be of type object\n")
    _mode(body, seen)
    if config(body).get("responseMimeType") != "application/json":
        return
    if calling(body).get("mode") == "ANY":
        raise invalid("Forced function calling (ANY mode) with a response mime type: 'application/json' is unsupported")
    if google.generation(model) < 3 and declared:
        raise invalid("Function calling with a response mime type: 'application/json' is unsupported")
    if google.generation(model) < 3 and searches(body):
        raise invalid("Tool use with a response mime type: 'application/json' is unsupported")


def _mode(body: dict[str, Any], declared: set[str]) -> None:
    mode, allowed = calling(body).get("mode", "AUTO"), calling(body).get("allowedFunctionNames", [])
    if mode in ("ANY", "VALIDATED") and not declared:
        raise invalid("Function calling config is set without function_declarations.")
    if allowed and mode not in ("ANY", "VALIDATED"):
        raise invalid("allowed_function_names should only be set when mode is ANY or VALIDATED")
    missing = [name for name in allowed if name not in declared]
    if missing:
        raise invalid(f"allowed_function_names contains an undeclared function: {missing[0]}")


def _subset(schema: dict[str, Any], at: str) -> None:
    """What the OpenAPI subset asks of a schema beyond its field names."""
    kind = schema.get("type", "").upper()
    if not kind and "anyOf" not in schema:
        raise invalid(f"* {at}: schema didn't specify the schema type field\n")
    if "enum" in schema and kind != "STRING":
        raise invalid(f"* {at}.enum: only allowed for STRING type\n")
    if kind == "STRING" and schema.get("format", "enum") not in ("enum", "date-time"):
        raise invalid(f"* {at}.format: only 'enum' and 'date-time' are supported for STRING type\n")
    if kind == "OBJECT" and at.endswith(".parameters") and not schema.get("properties"):
        raise invalid(f"* {at}.properties: should be non-empty for OBJECT type\n")
    if kind == "ARRAY" and "items" not in schema:
        raise invalid(f"* {at}.items: missing field.\n")
    for index, name in enumerate(schema.get("required", [])):
        if name not in schema.get("properties", {}):
            raise invalid(f"* {at}.required[{index}]: property is not defined\n")
    for name, part in schema.get("properties", {}).items():
        _subset(part, f"{at}.properties[{name}]")
    for index, part in enumerate(schema.get("anyOf", [])):
        _subset(part, f"{at}.any_of[{index}]")
    if "items" in schema:
        _subset(schema["items"], f"{at}.items")


def _signatures(contents: list[dict[str, Any]], model: str) -> None:
    """Every signature must be one of ours; in the turn that goes on, the first call of each step must have one."""
    asked = [
        index
        for index, content in enumerate(contents)
        if content.get("role", "user") == "user" and not any("functionResponse" in part for part in content["parts"])
    ]
    current = asked[-1] if asked else 0
    for index, content in enumerate(contents):
        for part in content["parts"]:
            token = part.get("thoughtSignature")
            if token is not None and token != SKIP and not intact(_standard(token), "gemini", ""):
                raise invalid("Corrupted thought signature.")
        first = next((part for part in content["parts"] if "functionCall" in part), None)
        if index > current and first is not None and not first.get("thoughtSignature"):
            name = first["functionCall"]["name"]
            text = "Function call is missing a thought_signature in functionCall parts. This is required for tools to"
            text += " work correctly, and missing thought_signature may lead to degraded model performance. Additional"
            text += f" data, function call `default_api:{name}` , position {index + 1}. Please refer to"
            raise invalid(f"{text} https://ai.google.dev/gemini-api/docs/thought-signatures for more details.")


def _standard(token: str) -> str:
    # Either alphabet of base64 is taken for bytes.
    return token.replace("-", "+").replace("_", "/")
