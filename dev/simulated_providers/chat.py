"""The endpoint of the Chat Completions API, of OpenAI and of those who speak it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request

from . import chat_answer as answers
from .brain import plan
from .chat_request import read
from .delivery import Reply, packed
from .dialect import Dialect
from .openai_http import blocks, guarded, refusal
from .recorder import Recorded
from .world import World


def endpoint(dialect: Dialect) -> Callable[[Request], Awaitable[Reply]]:
    """POST /chat/completions at a vendor."""

    async def create(request: Request) -> Reply:
        return await guarded(request, "chat_completions", dialect, _create)

    return create


def _create(world: World, recorded: Recorded, key: str, body: Any, dialect: Dialect) -> Reply:
    heard = read(body, world.models, dialect)
    heard.spares_thoughts = dialect.spares_thoughts
    chosen = plan(heard, world.outside(recorded))
    chosen.whole_calls = chosen.whole_calls or dialect.whole_calls
    if chosen.faults.status is not None:
        wrong = refusal(recorded, dialect.failure(chosen.faults), dialect)
        wrong.faults = chosen.faults
        return wrong
    tools = (body.get("tools") or []) + (body.get("functions") or [])
    owner = f"{key}\0{body['model']}\0{dialect.conversation(recorded, body)}"
    answer = answers.Answer(body, chosen, world.prompts.automatic(owner, blocks(heard, tools)), dialect)
    reply = Reply(recorded, dialect.headers(), faults=chosen.faults, connections=world.connections)
    if body.get("stream"):
        reply.script = answers.script(answer, world.frames)
    else:
        reply.body = packed(answers.completion(answer))
    return reply
