"""Message threads (beta ``message-threads-2026-08-12``): the pure part.

``thread: {"type": "create"}`` asks us to keep the conversation under the answer's id; ``{"type": "continue",
"previous_message_id"}`` comes with the new messages alone. Upstream each turn is a full request again, so threads work
with every provider.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from headgate.errors import GatewayError

# The server keeps these from the create request, and a continue leaves them out.
CREATE_ONLY = ("system", "tools")
# A continue of the vendor's SDKs repeats these; for a client that leaves them out the thread's own go on.
INHERITED = ("thinking", "output_config", "output_format", "mcp_servers", "container")
# Cache marks were set for the turn that first sent them. A request takes four, so a history keeps none of its own;
# only keys that hold blocks are searched, because a tool's input is the user's data.
_HOLDERS = ("content", "source", "tool", "definition", "tool_references")

ThreadCode = Literal[
    "thread_not_found",
    "thread_already_continued",
    "thread_continue_in_flight",
    "thread_fingerprint_mismatch",
    "thread_unsupported_request",
]

MESSAGES: dict[ThreadCode, str] = {
    "thread_not_found": "No usable thread state was found for `previous_message_id`. Replay the full conversation with "
    '`thread: {"type": "create"}` to start a new thread.',
    "thread_already_continued": "The response that `previous_message_id` names has already been continued, and each "
    "response can be continued only once.",
    "thread_continue_in_flight": "Another request is still continuing from the same `previous_message_id`.",
    "thread_fingerprint_mismatch": "A field that must stay the same across a thread's turns differs.",
    "thread_unsupported_request": "This request cannot be kept as a thread. "
    "Send the full conversation without `thread`.",
}


def split_thread(body: Mapping[str, Any]) -> tuple[Literal["create", "continue"] | None, str | None]:
    """(what the request asks of its thread, the id it continues from). ``body`` is validated."""
    thread = body.get("thread")
    if not thread:
        return None, None
    return thread["type"], thread.get("previous_message_id")


def settings_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a thread keeps of the request that creates it."""
    return {name: body[name] for name in (*CREATE_ONLY, *INHERITED) if body.get(name) is not None}


def merge_turn(stored: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """The full request for a continue. ``stored`` holds ``settings`` (of ``settings_of``) and ``messages``, the whole
    history up to and including the answer that is continued. Raises GatewayError 400 where the continue repeats
    ``system`` or ``tools`` with another value."""
    settings = stored.get("settings") or {}
    differing = [name for name in CREATE_ONLY if body.get(name) is not None and body.get(name) != settings.get(name)]
    if differing:
        detail = f"{MESSAGES['thread_fingerprint_mismatch']} differing field(s): {', '.join(differing)}"
        raise thread_error("thread_fingerprint_mismatch", detail)
    own = {name: value for name, value in body.items() if name != "thread" and name not in CREATE_ONLY}
    history = [without_cache_marks(message) for message in stored.get("messages") or ()]
    inherited = {name: value for name, value in settings.items() if own.get(name) is None}
    return {**own, **inherited, "messages": [*history, *(body.get("messages") or ())]}


def next_messages(messages: Sequence[Mapping[str, Any]], answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The history after ``answer``, to be stored: what was sent, and the answer as an assistant turn. An answer
    without content (all went into a refusal) adds no turn."""
    content = list(answer.get("content") or ())
    turns = [dict(message) for message in messages]
    return [*turns, {"role": "assistant", "content": content}] if content else turns


def without_cache_marks(value: Any) -> Any:
    """A copy of a message or block without the ``cache_control`` of any block in it."""
    if isinstance(value, Mapping):
        return {
            name: without_cache_marks(each) if name in _HOLDERS else each
            for name, each in value.items()
            if name != "cache_control"
        }
    if isinstance(value, list):
        return [without_cache_marks(each) for each in value]
    return value


def thread_error(
    code: ThreadCode, message: str | None = None, unsupported: Sequence[str] | None = None
) -> GatewayError:
    """A refusal that the vendor's SDKs act on: they read ``error.details.error_code`` (and ``unsupported``), and send
    the whole conversation again where that helps."""
    details: dict[str, Any] = {"error_code": code}
    if unsupported is not None:
        details["unsupported"] = list(unsupported)
    missing = code == "thread_not_found"
    return GatewayError(
        404 if missing else 400,
        "not_found_error" if missing else "invalid_request_error",
        code,
        message or MESSAGES[code],
        details=details,
    )
