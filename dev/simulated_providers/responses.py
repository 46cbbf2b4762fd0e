"""The endpoints of OpenAI's Responses API: ``/responses`` and ``/responses/input_tokens``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request

from . import responses_answer as answers
from .brain import outside_faults, plan
from .delivery import Reply, packed
from .dialect import OPENAI, Dialect
from .openai_http import blocks, guarded, refusal
from .recorder import Recorded
from .responses_request import read
from .world import World


def endpoint(dialect: Dialect) -> Callable[[Request], Awaitable[Reply]]:
    """POST /responses at a vendor."""

    async def create(request: Request) -> Reply:
        return await guarded(request, "responses", dialect, _create)

    return create


def _create(world: World, recorded: Recorded, key: str, body: Any, dialect: Dialect) -> Reply:
    heard = read(body, key, world.stored_items, world.models, dialect)
    heard.spares_thoughts = dialect.spares_thoughts
    chosen = plan(heard, world.outside(recorded))
    chosen.whole_calls = chosen.whole_calls or dialect.whole_calls
    if chosen.faults.status is not None:
        wrong = refusal(recorded, dialect.failure(chosen.faults), dialect)
        wrong.faults = chosen.faults
        return wrong
    owner = f"{key}\0{body['model']}\0{dialect.conversation(recorded, body)}"
    answer = answers.Answer(
        body, chosen, world.prompts.automatic(owner, blocks(heard, body.get("tools"))), key, dialect
    )
    answers.build(answer)
    if body.get("store") is not False:
        for item in answer.items:
            world.store_item(item["id"])
    reply = Reply(recorded, dialect.headers(), faults=chosen.faults, connections=world.connections)
    if body.get("stream"):
        reply.script = answers.script(answer, world.frames)
    else:
        reply.body = packed(answers.response(answer, answers.status_of(chosen)))
    return reply


async def count_tokens(request: Request) -> Reply:
    """POST /responses/input_tokens."""
    return await guarded(request, "responses", OPENAI, _count)


def _count(world: World, recorded: Recorded, key: str, body: Any, dialect: Dialect) -> Reply:
    heard = read(body, key, world.stored_items, world.models, dialect, counting=True)
    faults = outside_faults(world.outside(recorded), "openai")
    if faults.status is not None:
        return refusal(recorded, dialect.failure(faults), dialect)
    total = sum(block.tokens for block in blocks(heard, body.get("tools")))
    return Reply(recorded, dialect.headers(), packed({"object": "response.input_tokens", "input_tokens": total}))
