"""The endpoint of Cohere's chat API, version 2: ``/v2/chat``."""

from __future__ import annotations

import json
import uuid
from typing import Any

from starlette.requests import Request

from . import cohere_answer as answers
from . import cohere_request as asked
from .brain import plan
from .caches import Block
from .cohere_request import Refused
from .delivery import Reply, packed
from .recorder import Recorded
from .shapes import Problem
from .tokens import count
from .world import World


async def create(request: Request) -> Reply:
    """POST /v2/chat."""
    world: World = request.app.state.world
    recorded = world.record(request, await request.body())
    try:
        key = asked.key_of(request)
        if not isinstance(recorded.body, dict):
            raise asked.invalid("the request body is not valid JSON.")
        asked.check(recorded.body)
        asked.check_model(recorded.body["model"], world.models)
        return _create(world, recorded, key)
    except Problem as problem:
        return _refusal(recorded, asked.worded(problem))
    except Refused as refused:
        return _refusal(recorded, refused)


def _refusal(recorded: Recorded, refused: Refused) -> Reply:
    kind = "text/html" if refused.html else "application/json"
    headers = {"x-simulated": "1", **refused.headers}
    return Reply(recorded, headers, refused.body(str(uuid.uuid4())), status=refused.status, content_type=kind)


def _create(world: World, recorded: Recorded, key: str) -> Reply:
    body = recorded.body
    chosen = plan(asked.heard(body), world.outside(recorded))
    if chosen.faults.status is not None:
        wrong = _refusal(recorded, asked.failure(chosen.faults))
        wrong.faults = chosen.faults
        return wrong
    use = world.prompts.automatic(f"{key}\0{body['model']}", _prompt(body))
    answer = answers.Answer(body, chosen, use)
    reply = Reply(recorded, {"x-simulated": "1"}, faults=chosen.faults, connections=world.connections)
    if body.get("stream"):
        reply.script = answers.script(answer)
        if "application/json" in recorded.headers.get("accept", ""):
            # A caller that asks for JSON gets each event as a line of it, without the framing of server-sent events.
            reply.script = answers.unframed(reply.script)
            reply.headers["content-type"] = "application/stream+json"
    else:
        reply.body = packed(answers.whole(answer))
    return reply


def _prompt(body: dict[str, Any]) -> list[Block]:
    pieces = [*(body.get("tools") or []), *(body.get("documents") or []), *body["messages"]]
    texts = [json.dumps(piece, ensure_ascii=False) for piece in pieces]
    return [Block(text, count(text)) for text in texts]
