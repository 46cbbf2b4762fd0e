"""What the endpoints of OpenAI's two APIs share: parsing, error answers, prompt sizes, the model list."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request

from . import openai_common as openai
from .caches import Block
from .delivery import Reply, packed
from .dialect import OPENAI, Dialect, Endpoint
from .openai_common import Refused
from .reading import Heard
from .recorder import Recorded
from .shapes import Problem
from .tokens import count
from .world import World


def blocks(heard: Heard, tools: Any) -> list[Block]:
    """The prompt as the cache and the token count see it: tools, system texts, items."""
    parts = [json.dumps(tool) for tool in tools or []] + heard.system
    result = [Block(text, count(text)) for text in parts]
    for item in heard.items:
        texts = [*item.texts, item.name, item.arguments]
        # A fixed price for each medium and a little for each turn, as the vendor has.
        size = sum(count(text) for text in texts) + 85 * len(item.media) + 3
        result.append(Block("\n".join([item.kind, item.role, *texts, *item.media]), size))
    return result


def refusal(recorded: Recorded, refused: Refused, dialect: Dialect = OPENAI) -> Reply:
    """An error answer."""
    error = dialect.error(refused)
    kind = "text/html" if refused.html else "text/plain" if isinstance(error, str) else "application/json"
    headers = {**(dialect.error_headers or dialect.headers)(), **refused.headers}
    body = refused.page() if refused.html else error.encode() if isinstance(error, str) else packed(error)
    return Reply(recorded, headers, body, status=refused.status, content_type=kind)


def parsed(raw: bytes) -> Any:
    """The JSON body. Raises Refused."""
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        text = (
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP "
            "library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)"
        )
        raise Refused(400, text)
    return body


Work = Callable[[World, Recorded, str, Any, Dialect], Reply]


async def guarded(request: Request, endpoint: Endpoint, dialect: Dialect, work: Work) -> Reply:
    """Records a request and answers it with ``work(world, recorded, key, body, dialect)``, or with the refusal it
    raises. ``body`` is in OpenAI's terms."""
    world: World = request.app.state.world
    raw = await request.body()
    recorded = world.record(request, raw)
    try:
        key = dialect.key(request)
        if key in world.revoked:
            raise openai.wrong_key(key)
        return work(world, recorded, key, dialect.in_openais_terms(parsed(raw), endpoint), dialect)
    except Problem as problem:
        return refusal(recorded, dialect.worded(problem, endpoint), dialect)
    except Refused as refused:
        return refusal(recorded, refused, dialect)


async def no_such_path(request: Request) -> Reply:
    """What the vendor answers on a path or a method that it does not have."""
    world: World = request.app.state.world
    recorded = world.record(request, await request.body())
    path = request.url.path.removeprefix("/openai")
    return refusal(recorded, Refused(404, f"Invalid URL ({request.method} {path})"))


async def models(request: Request) -> Reply:
    """GET /models and /models/{id}."""
    world: World = request.app.state.world
    recorded = world.record(request, b"")
    try:
        openai.key_of(request)
        wanted = request.path_params.get("model")
        if wanted is None:
            data = [_model(name) for name in [*openai.LISTED, *world.models]]
            return Reply(recorded, openai.headers(), packed({"object": "list", "data": data}))
        if not OPENAI.knows(wanted, world.models):
            raise Refused(404, f"The model '{wanted}' does not exist", "model_not_found", "model")
        return Reply(recorded, openai.headers(), packed(_model(wanted)))
    except Refused as refused:
        return refusal(recorded, refused)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1735689600, "owned_by": "system"}
