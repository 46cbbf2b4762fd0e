"""OpenAI Responses: create, retrieve, delete, list input items, count input tokens, health.

The state is ours: a turn's input and output items are kept in the Responses wire form, and ``previous_response_id``
puts them in front of the new input, so every upstream sees the whole conversation whatever protocol it speaks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from headgate.access.policy import chaining_forbidden
from headgate.errors import invalid_request
from headgate.protocols.responses.input_items import input_items
from headgate.protocols.responses.schema import validate
from headgate.routing.options import read_options
from headgate.storage.turn_ids import new_id
from headgate.storage.turns import Turn, response_not_found
from headgate.web.call import Call, json_response, serve
from headgate.web.counting import count_input
from headgate.web.exchange import answer
from headgate.web.serving import Serving
from headgate.web.work import Work

router = APIRouter()


@router.post("/v1/responses")
async def create_response(request: Request) -> Response:
    """A response, whole or streamed."""
    return await serve(request, "responses", create)


@router.post("/v1/responses/input_tokens")
async def count_input_tokens(request: Request) -> Response:
    """How many input tokens a request would have."""
    return await serve(request, "responses", count)


@router.get("/v1/responses/health")
async def health() -> JSONResponse:
    """Whether this function is up. No key needed; nothing else is asked."""
    return JSONResponse({"status": "healthy"})


@router.get("/v1/responses/{id}")
async def get_response(request: Request) -> Response:
    """A stored response, as it was answered."""

    async def get(call: Call) -> Response:
        if request.query_params.get("stream") == "true":
            raise invalid_request("Only a background response can be streamed again.", param="stream")
        return json_response(call, (await _stored(call)).body)

    return await serve(request, "responses", get, reads_body=False)


@router.delete("/v1/responses/{id}")
async def delete_response(request: Request) -> Response:
    """Forget a stored response. Responses that were continued from it can no longer be continued."""

    async def delete(call: Call) -> Response:
        id = _id(call)
        await call.services.turns.delete(id, call.owner)
        return json_response(call, {"id": id, "object": "response", "deleted": True})

    return await serve(request, "responses", delete, reads_body=False)


@router.post("/v1/responses/{id}/cancel")
async def cancel_response(request: Request) -> Response:
    """Background responses do not exist here, so there is never one to cancel."""

    async def cancel(call: Call) -> Response:
        await _stored(call)
        raise invalid_request("Cannot cancel a synchronous response.", param="response_id")

    return await serve(request, "responses", cancel, reads_body=False)


@router.get("/v1/responses/{id}/input_items")
async def list_input_items(request: Request) -> Response:
    """The items a response was made from, those of the turns before it included; paged as OpenAI pages lists."""

    async def items(call: Call) -> Response:
        turn = await _stored(call)
        turns = await call.services.turns.load_chain(turn.id, call.owner)
        listed = [item for each in turns[:-1] for item in (*each.input, *each.output)]
        return json_response(call, page([*listed, *turn.input], request.query_params))

    return await serve(request, "responses", items, reads_body=False)


async def create(call: Call) -> Response:
    """Validate, put the stored conversation in front, answer, keep the turn."""
    body = validate(call.body)
    turns = await history(call, body)
    parent = turns[-1].id if turns else None
    id = new_id(parent)
    items = input_items(body, id)
    wants_store = body.get("store") is not False
    if wants_store and not call.keeps_content:
        # The answer must not promise what the key's policy forbids.
        body = {**body, "store": False}
    created = int(time.time())

    async def keep(serving: Serving) -> None:
        answered = serving.body() or {}
        candidate = call.candidate
        await call.services.turns.save(
            Turn(
                id=id,
                parent_id=parent,
                owner=call.owner,
                created_at=created,
                protocol="responses",
                status=str(answered.get("status", "failed")),
                provider=candidate.route.provider if candidate else "",
                model=candidate.route.model if candidate else "",
                credential=candidate.access.id if candidate else "",
                input=items,
                output=serving.state_items(),
                body=answered,
            )
        )

    model = str(body["model"])
    work = Work(
        body=body,
        sent=with_history(body, turns, items),
        id=id,
        keep=keep if wants_store and call.keeps_content else None,
        stream=bool(body.get("stream")),
        model=model,
        options=read_options(body),
        maker=turns[-1].maker if turns else None,
    )
    return await answer(call, work)


async def work_of(call: Call) -> Work:
    """The validated request as work that keeps nothing, with the stored conversation in front. Raises 400."""
    body = validate(call.body)
    turns = await history(call, body)
    return Work(
        body=body,
        sent=with_history(body, turns, input_items(body, "resp_explained")),
        id="",
        model=str(body["model"]),
        options=read_options(body),
        maker=turns[-1].maker if turns else None,
    )


async def count(call: Call) -> Response:
    """Validate and count, history included."""
    body = validate(call.body)
    turns = await history(call, body)
    sent = with_history(body, turns, input_items(body, "resp_count"))
    tokens, exact = await count_input(call, body["model"], sent, read_options(body))
    headers = {} if exact else {"x-headgate-estimated": "true"}
    return json_response(call, {"object": "response.input_tokens", "input_tokens": tokens}, headers)


async def history(call: Call, body: Mapping[str, Any]) -> list[Turn]:
    """The stored turns that ``previous_response_id`` names, oldest first. Raises 400."""
    previous = body.get("previous_response_id")
    if not previous:
        return []
    if not call.keeps_content:
        raise chaining_forbidden()
    return await call.services.turns.load_chain(previous, call.owner)


def with_history(body: Mapping[str, Any], turns: Sequence[Turn], items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The request as if the client had sent the whole conversation itself. ``instructions`` do not carry over."""
    before = [item for turn in turns for item in (*turn.input, *turn.output)]
    sent = {name: value for name, value in body.items() if name not in ("previous_response_id", "messages")}
    sent["input"] = [*before, *items]
    return sent


def page(items: Sequence[Mapping[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """One page of ``items``: ``limit`` 1 to 100 (20), ``order`` asc or desc (desc), ``after`` an item's id.
    Raises 400."""
    try:
        limit = int(query.get("limit", "20"))
    except ValueError:
        raise invalid_request("limit must be an integer.", param="limit", code="invalid_type") from None
    if not 1 <= limit <= 100:
        raise invalid_request("limit must be between 1 and 100.", param="limit")
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise invalid_request("order must be 'asc' or 'desc'.", param="order")
    ordered = list(items) if order == "asc" else list(reversed(items))
    if after := query.get("after"):
        ids = [item.get("id") for item in ordered]
        if after not in ids:
            raise invalid_request(f"No item with id '{after}'.", param="after")
        ordered = ordered[ids.index(after) + 1 :]
    data = ordered[:limit]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0].get("id") if data else None,
        "last_id": data[-1].get("id") if data else None,
        "has_more": len(ordered) > limit,
    }


def _id(call: Call) -> str:
    """The id in the path. Not an argument of the endpoints: for those FastAPI imports the whole of pydantic.v1, 4 % of
    a cold start."""
    return call.request.path_params["id"]


async def _stored(call: Call) -> Turn:
    turn = await call.services.turns.load(_id(call), call.owner)
    if turn.protocol != "responses":
        raise response_not_found(turn.id)
    return turn
