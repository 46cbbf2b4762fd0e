"""Anthropic Messages: create, count tokens, and message threads.

A thread is a conversation that the server keeps: ``{"type": "create"}`` stores it under the answer's id,
``{"type": "continue"}`` sends only what is new. It lives in our state table, so it works over every upstream.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from headgate.errors import invalid_request
from headgate.protocols.messages.schema import validate
from headgate.protocols.messages.threads import merge_turn, settings_of, split_thread, thread_error
from headgate.providers.rows import find_provider
from headgate.routing.options import read_options
from headgate.storage.turn_ids import new_id
from headgate.storage.turns import Turn, thread_not_found
from headgate.web.call import Call, json_response, serve
from headgate.web.counting import count_input
from headgate.web.exchange import answer
from headgate.web.serving import Serving
from headgate.web.work import Work

router = APIRouter()


@router.post("/v1/messages")
async def create_message(request: Request) -> Response:
    """A message, whole or streamed."""
    return await serve(request, "messages", create)


@router.post("/v1/messages/count_tokens")
async def count_message_tokens(request: Request) -> Response:
    """How many input tokens a request would have."""
    return await serve(request, "messages", count)


async def create(call: Call) -> Response:
    """Validate, resume a thread where one is named, answer, keep the thread's turn."""
    body = _validated(call)
    mode, previous = split_thread(body)
    if mode is None:
        return await answer(call, _work(call, body, body, f"msg_{secrets.token_hex(16)}"))
    if not call.keeps_content:
        raise thread_error(
            "thread_unsupported_request",
            "Logging is off for this API key (key policy 'logging': 'off'), so no thread can be kept.",
        )
    return await (_continue_thread(call, body, previous) if previous else _create_thread(call, body))


async def work_of(call: Call) -> Work:
    """The validated request as work that keeps nothing; a thread is not resumed. Raises 400."""
    body = _validated(call)
    return _work(call, body, body, "")


async def count(call: Call) -> Response:
    """Validate and count."""
    body = _validated(call, counting=True)
    tokens, exact = await count_input(call, _model(body), body, read_options(body))
    headers = {} if exact else {"x-headgate-estimated": "true"}
    return json_response(call, {"input_tokens": tokens}, headers)


async def _create_thread(call: Call, body: dict[str, Any]) -> Response:
    id = new_id(None, prefix="msg_")
    work = _work(call, body, body, id)
    work.reply_extra = {"own_id": True, "keep": True}
    work.keep = _keeper(call, body, id, None)
    return await answer(call, work)


async def _continue_thread(call: Call, body: dict[str, Any], previous: str) -> Response:
    chain = await call.services.turns.load_chain(previous, call.owner, thread_not_found)
    stored = {
        "settings": chain[0].settings,
        "messages": [message for turn in chain for message in (*turn.input, *turn.output)],
    }
    leases, token = call.services.continuations, secrets.token_hex(8)
    await leases.begin_continue(previous, call.owner, token, call.services.settings.timeouts.total + 30)
    id = new_id(previous, prefix="msg_")
    work = _work(call, body, merge_turn(stored, body), id)
    work.maker = chain[-1].maker
    work.reply_extra = {"own_id": True, "keep": True}
    keep = _keeper(call, body, id, previous)

    async def release() -> None:
        await leases.release_continue(previous, call.owner, token)

    async def keep_and_finish(serving: Serving) -> None:
        if serving.error is not None or serving.finish == "refusal":
            # The client starts anew after either; the place it would continue from stays free.
            await release()
            return
        await keep(serving)
        await leases.finish_continue(previous, call.owner, token, id)

    work.keep, work.abandon = keep_and_finish, release
    return await answer(call, work)


def _keeper(call: Call, body: Mapping[str, Any], id: str, parent: str | None) -> Any:
    created = int(time.time())

    async def keep(serving: Serving) -> None:
        answered = serving.body()
        if serving.error is not None or not answered or serving.finish == "refusal":
            return
        candidate = call.candidate
        await call.services.turns.save(
            Turn(
                id=id,
                parent_id=parent,
                owner=call.owner,
                created_at=created,
                protocol="messages",
                status="completed",
                provider=candidate.route.provider if candidate else "",
                model=candidate.route.model if candidate else "",
                credential=candidate.access.id if candidate else "",
                input=list(body["messages"]),
                output=[{"role": "assistant", "content": answered["content"]}],
                body=answered,
                settings=settings_of(body) if parent is None else {},
            )
        )

    return keep


def _validated(call: Call, *, counting: bool = False) -> dict[str, Any]:
    version = call.request.headers.get("anthropic-version", "2023-06-01")
    return validate(call.body, version=version, counting=counting)


def _work(call: Call, body: dict[str, Any], sent: Mapping[str, Any], id: str) -> Work:
    return Work(
        body=body,
        sent=sent,
        id=id,
        stream=bool(body.get("stream")),
        model=_model(body),
        options=read_options(body),
        # Claude Code drops its thinking from the history when the answer names another model than it asked for.
        echo_model=call.request.headers.get("user-agent", "").startswith("claude-cli/"),
    )


def _model(body: Mapping[str, Any]) -> str:
    """The model's name; ``provider`` (a provider, or ``provider/model``) goes before it, and neither means ``auto``.
    Raises 400."""
    model = body.get("model") or "auto"
    provider = body.get("provider")
    if not provider:
        return model
    if "/" in provider:
        return provider
    row = find_provider(provider)
    if row is None:
        raise invalid_request(f"Unknown provider '{provider}'.", param="provider", code="unknown_provider")
    return f"{row.slug}/{model.rpartition('/')[2]}"
