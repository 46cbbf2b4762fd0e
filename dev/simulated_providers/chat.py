"""The endpoint of OpenAI's Chat Completions API."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from . import chat_answer as answers
from . import openai_common as openai
from .brain import plan
from .chat_request import read
from .delivery import Reply, packed
from .openai_http import blocks, guarded, refusal
from .recorder import Recorded
from .world import World


async def create(request: Request) -> Reply:
    """POST /chat/completions."""
    return await guarded(request, _create)


def _create(world: World, recorded: Recorded, key: str, body: Any) -> Reply:
    heard = read(body, world.models)
    chosen = plan(heard, world.outside(recorded))
    if chosen.faults.status is not None:
        wrong = refusal(recorded, openai.failure(chosen.faults))
        wrong.faults = chosen.faults
        return wrong
    tools = (body.get("tools") or []) + (body.get("functions") or [])
    owner = f"{key}\0{body['model']}\0{body.get('prompt_cache_key') or ''}"
    answer = answers.Answer(body, chosen, world.prompts.automatic(owner, blocks(heard, tools)))
    reply = Reply(recorded, openai.headers(), faults=chosen.faults, connections=world.connections)
    if body.get("stream"):
        reply.script = answers.script(answer, world.frames)
    else:
        reply.body = packed(answers.completion(answer))
    return reply
