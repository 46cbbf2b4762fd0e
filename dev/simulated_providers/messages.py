"""The endpoints of Anthropic's Messages API (``/messages``, ``/messages/count_tokens``, ``/models``), at Anthropic and
at the cloud platforms that offer Claude (messages_places.py)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request

from . import anthropic_common as anthropic
from . import messages_answer as answers
from . import messages_request, messages_rules
from .anthropic_common import Refused
from .brain import outside_faults, plan
from .caches import Block
from .delivery import Reply, packed
from .messages_places import ANTHROPIC, AZURE, VERTEX, Place
from .messages_request import blocks_of
from .recorder import Recorded
from .shapes import Problem
from .tokens import count
from .world import World

_LARGEST = 32 * 1024 * 1024


Work = Callable[[World, Recorded, Any, Place], Reply]


def _refusal(recorded: Recorded, refused: Refused, place: Place = ANTHROPIC, request: Request | None = None) -> Reply:
    request_id = place.new_id("req")
    kind = "text/html" if refused.html else "application/json"
    if place.envelope is not None and request is not None and refused.status in place.fronted:
        return Reply(
            recorded,
            {"x-simulated": "1", **refused.headers},
            place.envelope(request, refused),
            status=refused.status,
            content_type=kind,
        )
    headers = {**anthropic.headers(request_id), **refused.headers}
    return Reply(recorded, headers, refused.body(request_id), status=refused.status, content_type=kind)


def _headers(place: Place = ANTHROPIC) -> dict[str, str]:
    return anthropic.headers(place.new_id("req"))


async def _guarded(request: Request, work: Work, place: Place, *, counting: bool) -> Reply:
    world: World = request.app.state.world
    raw = await request.body()
    recorded = world.record(request, raw)
    try:
        place.caller(request)
        if len(raw) > _LARGEST:
            raise Refused(413, "Request exceeds the maximum size")
        if not isinstance(recorded.body, dict):
            raise Refused(400, "The request body is not valid JSON: expected an object")
        body, version = place.read(request, recorded.body)
        betas = anthropic.betas_of(request)
        place.check_betas(betas, counting=counting)
        messages_request.check(body, betas, counting=counting)
        if not place.known(body["model"], world.models):
            raise Refused(404, f"model: {anthropic.bare(body['model'])}")
        messages_rules.check(body, version, betas)
        return work(world, recorded, body, place)
    except Problem as problem:
        return _refusal(recorded, anthropic.worded(problem), place, request)
    except Refused as refused:
        reply = _refusal(recorded, refused, place, request)
        reply.faults = refused.faults or reply.faults
        return reply


async def create(request: Request) -> Reply:
    """POST /messages."""
    return await _guarded(request, _create, ANTHROPIC, counting=False)


async def create_at_azure(request: Request) -> Reply:
    """POST /anthropic/v1/messages of an Azure resource."""
    return await _guarded(request, _create, AZURE, counting=False)


async def count_at_azure(request: Request) -> Reply:
    """POST /anthropic/v1/messages/count_tokens of an Azure resource."""
    return await _guarded(request, _count, AZURE, counting=True)


async def at_vertex(request: Request) -> Reply:
    """POST …/publishers/anthropic/models/{model}:rawPredict and :streamRawPredict; ``count-tokens`` is a model too."""
    counting = request.path_params["call"].startswith("count-tokens:")
    return await _guarded(request, _count if counting else _create, VERTEX, counting=counting)


def _create(world: World, recorded: Recorded, body: Any, place: Place) -> Reply:
    named = "" if place is not VERTEX else body["model"]
    chosen = plan(messages_request.heard(body), world.outside(recorded) + named)
    if chosen.faults.status is not None:
        raise anthropic.failure(chosen.faults)
    headers = recorded.headers
    key = headers.get("x-api-key") or headers.get("api-key") or headers.get("authorization", "").partition(" ")[2]
    use = world.prompts.explicit(f"{key}\0{body['model']}", prompt(body))
    answer = answers.Answer(body, chosen, use, id=place.new_id("msg"))
    answers.build(answer)
    reply = Reply(recorded, _headers(place), faults=chosen.faults, connections=world.connections)
    if body.get("stream"):
        reply.script = answers.script(answer, world.frames)
    else:
        reply.body = packed(answers.message(answer))
    return reply


async def count_tokens(request: Request) -> Reply:
    """POST /messages/count_tokens."""
    return await _guarded(request, _count, ANTHROPIC, counting=True)


def _count(world: World, recorded: Recorded, body: Any, place: Place) -> Reply:
    faults = outside_faults(world.outside(recorded), "anthropic")
    if faults.status is not None:
        raise anthropic.failure(faults)
    total = sum(block.tokens for block in prompt(body))
    return Reply(recorded, _headers(place), packed({"input_tokens": total}))


def prompt(body: dict[str, Any]) -> list[Block]:
    """The prompt in the order in which the vendor caches it: tools, system, messages; with the cache marks."""
    result = [_piece("tool", tool) for tool in body.get("tools") or []]
    result += [_piece("system", block) for block in blocks_of(body.get("system") or [])]
    for message in body["messages"]:
        result += [_piece(message["role"], block) for block in blocks_of(message["content"])]
    if body.get("cache_control") and result:
        result[-1].mark = body["cache_control"].get("ttl") or "5m"
    return result


def _piece(role: str, block: dict[str, Any]) -> Block:
    marks = [block.get("cache_control")]
    inner = block.get("content")
    if isinstance(inner, list):
        marks += [part.get("cache_control") for part in inner if isinstance(part, dict)]
    mark = next((one.get("ttl") or "5m" for one in marks if one), None)
    bare = _unmarked(block)
    text = role + json.dumps(bare, ensure_ascii=False)
    return Block(text, _size(role, bare), mark)


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unmarked(one) for key, one in value.items() if key != "cache_control"}
    return [_unmarked(one) for one in value] if isinstance(value, list) else value


def _size(role: str, block: dict[str, Any]) -> int:
    """Tokens of a block: of its texts; 85 a medium; of a tool's JSON; 3 more for each block's place in the talk."""
    if role == "tool":
        return count(json.dumps(block))
    kind = block["type"]
    if kind == "text":
        return count(block["text"]) + 3
    if kind in ("image", "document"):
        source = block.get("source", {})
        return (count(source["data"]) if source.get("type") == "text" else 85) + 3
    if kind == "tool_result":
        return sum(_size(role, part) for part in blocks_of(block.get("content") or [])) + 3
    if kind == "tool_use":
        return count(block["name"]) + count(json.dumps(block["input"], ensure_ascii=False)) + 3
    if kind == "thinking":
        return count(block["thinking"]) + 3
    return 10


async def no_such_path(request: Request) -> Reply:
    """What the vendor answers on a path or a method that it does not have."""
    world: World = request.app.state.world
    return _refusal(world.record(request, await request.body()), Refused(404, "Not Found"))


async def models(request: Request) -> Reply:
    """GET /models and /models/{id}."""
    world: World = request.app.state.world
    recorded = world.record(request, b"")
    try:
        anthropic.key_of(request)
        anthropic.version_of(request)
        wanted = request.path_params.get("model")
        if wanted is None:
            return Reply(recorded, _headers(), packed(_page(request)))
        if not anthropic.known(wanted, world.models):
            raise Refused(404, f"model: {wanted}")
        return Reply(recorded, _headers(), packed(_model(wanted)))
    except Refused as refused:
        return _refusal(recorded, refused)


def _page(request: Request) -> dict[str, Any]:
    names = list(anthropic.LISTED)
    limit = int(request.query_params.get("limit", "20"))
    after = request.query_params.get("after_id")
    names = names[names.index(after) + 1 :] if after in names else names
    page = names[:limit]
    return {
        "data": [_model(name) for name in page],
        "has_more": len(names) > limit,
        "first_id": page[0] if page else None,
        "last_id": page[-1] if page else None,
    }


def _model(name: str) -> dict[str, Any]:
    return {
        "type": "model",
        "id": name,
        "display_name": anthropic.LISTED.get(name, name),
        "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 200000,
        "max_tokens": 64000,
    }
