"""The shapes of input items and their content parts. One table, dispatched by ``type``, so that an error speaks of the
branch the client meant and not of thirty others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from headgate.protocols.responses.checks import (
    Shape,
    array,
    check,
    mapping,
    missing,
    one_of,
    tag,
    wrong_type,
    wrong_value,
)

ROLES = ("user", "assistant", "system", "developer")
_Id = Annotated[str, Field(min_length=1)]


class _TextPart(Shape):
    text: str


class _RefusalPart(Shape):
    refusal: str


class _ImagePart(Shape):
    image_url: str | None = None
    file_id: str | None = None
    detail: Literal["low", "high", "auto", "original"] | None = None


class _FilePart(Shape):
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None


class _Audio(Shape):
    data: str
    format: Literal["mp3", "wav"]


class _AudioPart(Shape):
    input_audio: _Audio


class _FunctionCall(Shape):
    call_id: _Id
    name: _Id
    arguments: str
    id: str | None = None
    status: str | None = None
    namespace: str | None = None


class _CustomCall(Shape):
    call_id: _Id
    name: _Id
    input: str
    id: str | None = None
    status: str | None = None


class _CallOutput(Shape):
    call_id: _Id
    id: str | None = None
    is_error: bool | None = None
    status: str | None = None


class _Thought(Shape):
    text: str


class _Reasoning(Shape):
    id: str | None = None
    summary: list[_Thought] | None = None
    content: list[_Thought] | None = None
    encrypted_content: str | None = None


class _WebSearchCall(Shape):
    id: str | None = None
    status: str | None = None
    action: dict[str, Any] | None = None


class _ItemReference(Shape):
    id: _Id


_PARTS: dict[str, type[Shape]] = {
    "input_text": _TextPart,
    "output_text": _TextPart,
    "text": _TextPart,
    "refusal": _RefusalPart,
    "input_image": _ImagePart,
    "input_file": _FilePart,
    "input_audio": _AudioPart,
}
_ITEMS: dict[str, type[Shape]] = {
    "function_call": _FunctionCall,
    "custom_tool_call": _CustomCall,
    "function_call_output": _CallOutput,
    "custom_tool_call_output": _CallOutput,
    "reasoning": _Reasoning,
    "web_search_call": _WebSearchCall,
    "item_reference": _ItemReference,
}


def check_items(items: Sequence[Any], path: str) -> None:
    """Refuse ``items`` (the value of ``path``) if one of a known type is malformed. Raises GatewayError 400."""
    for index, item in enumerate(items):
        place = f"{path}[{index}]"
        _check_item(mapping(item, place), place)


def item_type(item: Mapping[str, Any]) -> str | None:
    """The type of an input item, where the API lets clients leave it out: a role makes a message, a bare id a
    reference."""
    kind = item.get("type")
    if kind is None:
        return "message" if "role" in item else "item_reference" if set(item) <= {"id", "type"} and item else None
    return kind if isinstance(kind, str) else None


def _check_item(item: Mapping[str, Any], path: str) -> None:
    kind = item_type(item)
    if kind is None:
        tag(item, path)
    if kind == "message":
        _check_message(item, path)
        return
    shape = _ITEMS.get(kind or "")
    if shape is None:
        return
    check(shape, item, path)
    if shape is _CallOutput:
        if item.get("output") is None:
            raise missing(f"{path}.output")
        _check_content(item["output"], f"{path}.output")


def _check_message(item: Mapping[str, Any], path: str) -> None:
    if "role" not in item:
        raise missing(f"{path}.role")
    one_of(f"{path}.role", item["role"], ROLES)
    if "content" not in item:
        raise missing(f"{path}.content")
    if item.get("id") is not None and not isinstance(item["id"], str):
        raise wrong_type(f"{path}.id", "a string", item["id"])
    _check_content(item["content"], f"{path}.content")


def _check_content(content: Any, path: str) -> None:
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise wrong_type(path, "a string or an array of content parts", content)
    for index, part in enumerate(array(content, path)):
        place = f"{path}[{index}]"
        shape = _PARTS.get(tag(mapping(part, place), place))
        if shape is None:
            continue
        check(shape, part, place)
        if shape is _ImagePart:
            _check_image(part, place)
        elif shape is _FilePart:
            _check_file(part, place)


def _check_image(part: Mapping[str, Any], path: str) -> None:
    url = part.get("image_url")
    if url is None:
        if part.get("file_id") is None:
            raise missing(f"{path}.image_url")
        return
    check_image_url(url, f"{path}.image_url")


def check_image_url(url: str, path: str) -> None:
    """Refuse anything but an http(s) address and a base64 ``data:`` URL of an image."""
    if url.startswith("data:"):
        head = url[: url.find(",") + 1]
        if not head.startswith("data:image/") or not head.endswith(";base64,"):
            raise wrong_value(path, "expected a base64-encoded data URL of an image (data:image/png;base64,...).")
    elif not url.startswith(("https://", "http://")):
        raise wrong_value(path, "expected an http(s) address or a base64-encoded data URL.")


def _check_file(part: Mapping[str, Any], path: str) -> None:
    given = [name for name in ("file_data", "file_url", "file_id") if part.get(name) is not None]
    if not given:
        raise missing(f"{path}.file_data")
    if len(given) > 1:
        raise wrong_value(path, f"expected only one of 'file_data', 'file_url' and 'file_id', but got {given}.")
    if given == ["file_url"] and not part["file_url"].startswith(("https://", "http://")):
        raise wrong_value(f"{path}.file_url", "expected an http(s) address.")
