"""The endpoints of Gemini at Vertex AI and at the Gemini API, both under ``/vertex``:

``/v1/projects/{project}/locations/{location}/publishers/google/models/{model}:{method}`` and
``/v1/models/{model}:{method}``, both also as ``v1beta`` and ``v1beta1``. The methods are generateContent,
streamGenerateContent and countTokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from . import gemini_answer as answers
from . import gemini_common as google
from . import gemini_request, gemini_rules
from .brain import outside_faults, plan
from .caches import Block
from .delivery import Reply, packed
from .gemini_common import Refused
from .recorder import Recorded
from .shapes import Problem
from .tokens import count
from .world import World

_METHODS = ("generateContent", "streamGenerateContent", "countTokens")


def _refusal(recorded: Recorded, refused: Refused, *, listed: bool) -> Reply:
    kind = "text/html; charset=UTF-8" if refused.html else "application/json; charset=UTF-8"
    headers = {**google.headers(), **refused.headers}
    return Reply(recorded, headers, refused.body(listed=listed), status=refused.status, content_type=kind)


async def call(request: Request) -> Reply:
    """POST …/models/{model}:{method}."""
    world: World = request.app.state.world
    raw = await request.body()
    recorded = world.record(request, raw)
    vertex = "project" in request.path_params
    model, _, method = request.path_params["call"].rpartition(":")
    # A stream that is not asked for as server-sent events is one JSON array, and so are its errors.
    listed = method == "streamGenerateContent" and request.query_params.get("alt") != "sse"
    try:
        if method not in _METHODS:
            raise Refused(404, f"Unknown method: {method}")
        key = google.key_of(request, vertex=vertex)
        if not isinstance(recorded.body, dict):
            raise google.invalid("Invalid JSON payload received. Expected an object.")
        body: dict[str, Any] = gemini_request.camelized(recorded.body)
        if method == "countTokens":
            body = _counted(body, model, vertex=vertex)
        gemini_request.check(body, vertex=vertex)
        if not google.known(model, world.models):
            raise google.not_found(model, vertex=vertex)
        gemini_rules.check(body, model, vertex=vertex)
        if method == "countTokens":
            faults = outside_faults(world.outside(recorded) + model, "gemini")
            if faults.status is not None:
                raise google.failure(faults)
            total = sum(block.tokens for block in prompt(body))
            return Reply(recorded, google.headers(), packed({"totalTokens": total}))
        return _answer(
            world, recorded, body, model, key, vertex=vertex, stream=method != "generateContent", listed=listed
        )
    except Problem as problem:
        return _refusal(recorded, google.worded(problem), listed=listed)
    except Refused as refused:
        return _refusal(recorded, refused, listed=listed)


def _counted(body: dict[str, Any], model: str, *, vertex: bool) -> dict[str, Any]:
    """What is to be counted. Vertex AI takes the parts of the request side by side; the Gemini API takes ``contents``
    alone, or the whole request with the model's name in ``generateContentRequest``."""
    whole = body.get("generateContentRequest")
    allowed = {"contents", "systemInstruction", "tools", "generationConfig", "model", "instances"} if vertex else set()
    allowed = allowed or ({"generateContentRequest"} if whole else {"contents"})
    unknown = sorted(set(body) - allowed)
    if unknown:
        raise Problem("unknown", (unknown[0],))
    if whole is None:
        return body
    if whole.get("model") != f"models/{google.bare(model)}":
        raise google.invalid("The model of generateContentRequest does not match the one in the URL.")
    return {name: value for name, value in whole.items() if name != "model"}


def _answer(
    world: World,
    recorded: Recorded,
    body: dict[str, Any],
    model: str,
    key: str,
    *,
    vertex: bool,
    stream: bool,
    listed: bool,
) -> Reply:
    chosen = plan(gemini_request.heard(body, model), world.outside(recorded) + model)
    if chosen.faults.status is not None:
        wrong = _refusal(recorded, google.failure(chosen.faults), listed=listed)
        wrong.faults = chosen.faults
        return wrong
    use = world.prompts.automatic(f"{key}\0{google.bare(model)}", prompt(body))
    answer = answers.Answer(body, model, vertex, chosen, use)
    reply = Reply(recorded, google.headers(), faults=chosen.faults, connections=world.connections)
    if not stream:
        reply.body = packed(answers.whole(answer))
    elif listed:
        reply.body = answers.listed(answers.script(answer, world.frames))
    else:
        reply.script = answers.script(answer, world.frames)
    return reply


def prompt(body: dict[str, Any]) -> list[Block]:
    """The prompt in the order in which the vendor caches it: tools, system, contents."""
    found = [_piece("tool", one) for one in gemini_request.functions(body)]
    found += [_piece("system", part) for part in body.get("systemInstruction", {}).get("parts", [])]
    for content in body["contents"]:
        found += [_piece(content.get("role", "user"), part) for part in content["parts"]]
    return found


def _piece(role: str, part: dict[str, Any]) -> Block:
    return Block(role + json.dumps(part, ensure_ascii=False), _size(role, part))


def _size(role: str, part: dict[str, Any]) -> int:
    """Tokens of a part: of its text; 85 a medium; of a tool's or call's JSON; 3 more for its place in the talk."""
    if role == "tool":
        return count(json.dumps(part))
    if "text" in part:
        return count(part["text"]) + 3
    if "inlineData" in part or "fileData" in part:
        return 85 + 3
    if "functionCall" in part:
        own = part["functionCall"]
        return count(own["name"]) + count(json.dumps(own.get("args", {}), ensure_ascii=False)) + 3
    if "functionResponse" in part:
        own = part["functionResponse"]
        return count(json.dumps(own["response"], ensure_ascii=False)) + 85 * len(own.get("parts", [])) + 3
    return 10


async def models(request: Request) -> Reply:
    """GET /v1beta/models and /v1beta/models/{model}."""
    world: World = request.app.state.world
    recorded = world.record(request, b"")
    try:
        google.key_of(request, vertex=False)
        wanted = request.path_params.get("model")
        if wanted is None:
            return Reply(recorded, google.headers(), packed({"models": [_model(name) for name in google.LISTED]}))
        if not google.known(wanted, world.models):
            raise google.not_found(wanted, vertex=False)
        return Reply(recorded, google.headers(), packed(_model(wanted)))
    except Refused as refused:
        return _refusal(recorded, refused, listed=False)


def _model(name: str) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": google.LISTED.get(name, name),
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
        "thinking": google.generation(name) >= 2.5,
    }


async def no_such_path(request: Request) -> Reply:
    """What the vendor answers on a path or a method that it does not have."""
    world: World = request.app.state.world
    return _refusal(world.record(request, await request.body()), Refused(404, "Not Found", html=True), listed=False)


def routes(prefix: str = "/vertex") -> list[Route]:
    """The routes of both faces."""
    cloud = "projects/{project}/locations/{location}/publishers/google/models/{call:path}"
    made: list[tuple[str, Callable[..., Any], str]] = []
    for version in ("v1", "v1beta", "v1beta1"):
        made += [
            (f"{prefix}/{version}/{cloud}", call, "POST"),
            (f"{prefix}/{version}/models/{{call:path}}", call, "POST"),
            (f"{prefix}/{version}/models", models, "GET"),
            (f"{prefix}/{version}/models/{{model:path}}", models, "GET"),
        ]
    found = [Route(path, endpoint, methods=[method]) for path, endpoint, method in made]
    every = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return [*found, Route(f"{prefix}/{{rest:path}}", no_such_path, methods=every)]
