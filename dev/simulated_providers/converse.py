"""The endpoints of Bedrock's Converse: ``/model/{model}/`` and ``converse``, ``converse-stream``, ``count-tokens``."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from . import converse_answer as answers
from . import converse_request, converse_rules
from . import converse_wire as bedrock
from .brain import outside_faults, plan
from .caches import Block
from .converse_wire import Refused
from .delivery import Reply, packed
from .recorder import Recorded
from .shapes import Problem
from .tokens import count
from .world import World


async def create(request: Request) -> Reply:
    """POST /model/{model}/converse and /model/{model}/converse-stream."""
    world: World = request.app.state.world
    raw = await request.body()
    recorded = world.record(request, raw)
    model: str = request.path_params["model"]
    try:
        caller = bedrock.caller(request, raw)
        if not isinstance(recorded.body, dict):
            raise bedrock.invalid("The request body is not valid JSON.")
        bedrock.check_model(model, world.models, caller.region)
        converse_request.check(recorded.body)
        converse_rules.check(recorded.body, model)
        return _create(world, recorded, caller.key, model, streamed=request.url.path.endswith("converse-stream"))
    except Problem as problem:
        return _refusal(recorded, bedrock.worded(problem))
    except Refused as refused:
        return _refusal(recorded, refused)


async def count_tokens(request: Request) -> Reply:
    """POST /model/{model}/count-tokens."""
    world: World = request.app.state.world
    raw = await request.body()
    recorded = world.record(request, raw)
    model: str = request.path_params["model"]
    try:
        bedrock.caller(request, raw)
        given = recorded.body.get("input") if isinstance(recorded.body, dict) else None
        if not isinstance(given, dict) or list(given) != ["converse"]:
            raise bedrock.invalid("The input must hold exactly one of invokeModel and converse.")
        bedrock.check_countable(model)
        faults = outside_faults(world.outside(recorded), "bedrock")
        if faults.status is not None:
            raise bedrock.failure(faults)
        body = given["converse"]
        unknown = sorted(set(body) - {"messages", "system", "toolConfig", "additionalModelRequestFields"})
        if unknown:
            raise bedrock.invalid(f"Unknown parameter in input.converse: {unknown[0]}")
        converse_request.check(body)
        return Reply(recorded, bedrock.headers(), packed({"inputTokens": sum(each.tokens for each in prompt(body))}))
    except Problem as problem:
        return _refusal(recorded, bedrock.worded(problem))
    except Refused as refused:
        return _refusal(recorded, refused)


def _refusal(recorded: Recorded, refused: Refused) -> Reply:
    kind = "text/html" if refused.html else "application/json"
    return Reply(recorded, refused.all_headers(), refused.body(), status=refused.status, content_type=kind)


def _create(world: World, recorded: Recorded, owner: str, model: str, *, streamed: bool) -> Reply:
    body = recorded.body
    chosen = plan(converse_request.heard(body, model), world.outside(recorded))
    if chosen.faults.status is not None:
        wrong = _refusal(recorded, bedrock.failure(chosen.faults))
        wrong.faults = chosen.faults
        return wrong
    use = world.prompts.explicit(f"{owner}\0{model}", prompt(body))
    answer = answers.Answer(body, model, chosen, use)
    answers.build(answer)
    reply = Reply(recorded, bedrock.headers(), faults=chosen.faults, connections=world.connections)
    if streamed:
        reply.headers["content-type"] = "application/vnd.amazon.eventstream"
        reply.script = answers.script(answer)
    else:
        reply.body = packed(answers.whole(answer))
    return reply


def prompt(body: dict[str, Any]) -> list[Block]:
    """The prompt in the order in which the vendor caches it, with the cache points as marks of the block before."""
    found: list[Block] = []
    holders = [("tool", (body.get("toolConfig") or {"tools": []})["tools"]), ("system", body.get("system") or [])]
    holders += [(message["role"], message["content"]) for message in body["messages"]]
    for role, blocks in holders:
        for block in blocks:
            if "cachePoint" in block:
                found[-1].mark = block["cachePoint"].get("ttl") or "5m"
                continue
            text = json.dumps(block, ensure_ascii=False)
            found.append(Block(role + text, _size(block), None))
    return found


def _size(block: dict[str, Any]) -> int:
    """Tokens of a block: of its texts; 85 a medium; of a tool's JSON; 3 more for each block's place."""
    kind = next(iter(block))
    value = block[kind]
    match kind:
        case "text":
            return count(value) + 3
        case "toolResult":
            return sum(_size(part) for part in value["content"]) + 3
        case "toolSpec" | "toolUse" | "json" | "searchResult":
            return count(json.dumps(value, ensure_ascii=False)) + 3
        case "reasoningContent":
            return count(value.get("reasoningText", {"text": ""})["text"]) + 3
        case "image" | "document" | "video" | "audio":
            return 88
        case _:
            return 10
