"""``POST /v1/chat/completions``."""

from __future__ import annotations

import secrets

from fastapi import APIRouter, Request, Response

from headgate.protocols.chat_completions.schema import validate
from headgate.routing.options import read_options
from headgate.web.call import Call, serve
from headgate.web.exchange import answer
from headgate.web.work import Work

router = APIRouter()


@router.post("/v1/chat/completions")
async def create_chat_completion(request: Request) -> Response:
    """A chat completion, whole or streamed."""
    return await serve(request, "chat_completions", create)


async def create(call: Call) -> Response:
    """Validate and answer. Nothing is kept: the conversation is the client's."""
    return await answer(call, await work_of(call))


async def work_of(call: Call) -> Work:
    """The validated request as work. Raises 400."""
    body = validate(call.body)
    return Work(
        body=body,
        sent=body,
        id=f"chatcmpl-{secrets.token_urlsafe(21)}",
        stream=bool(body.get("stream")),
        choices=body.get("n") or 1,
        model=body["model"],
        options=read_options(body),
    )
