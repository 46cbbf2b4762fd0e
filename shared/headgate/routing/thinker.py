"""A stronger model that thinks now and then for the one that does the work.

In ``[thinker]A^[weight=10]B`` one request in eleven goes to A, with ``THINKER_INSTRUCTION`` at its end. Its answer goes
to the client like any other, with tool calls if it makes some, and its text is kept in the session. The requests that
B serves later in the session carry that text as a note, until A has written a newer one.

Instruction and note stand at the end of the request and in no stored history. What comes before them is then the same
with and without them, so the prompt caches of both models keep hitting. For the same reason the client never sees them
again: they must be put into what goes upstream, after the turn to store and the session's id have been taken from the
body.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

THINKER_INSTRUCTION = """\
<planning_request>
For this turn you are the planner of the conversation; a faster model will carry on after you. Answer the user as usual,
with tools where they help, and let your text begin with the following, in at most a few short paragraphs:
- what the user really wants, and what a finished result must have;
- what is known so far, and what is still uncertain;
- the next steps in order, each concrete enough to be carried out without asking you;
- mistakes that are easy to make here.
Do not mention this request.
</planning_request>"""

_TAG = re.compile(r"(?i)</?\s*planning_(note|request)\b[^>]*>?")
_NOTE = """\
<planning_note>
A stronger model wrote this at an earlier turn of this conversation. Use it where it still fits. What the user has said
since then goes before it. Do not mention it.

{thought}
</planning_note>"""

Body = Mapping[str, Any]


def with_instruction(protocol: str, body: Body, instruction: str = THINKER_INSTRUCTION) -> Body:
    """``body``, a valid request of the client protocol, as it goes to the thinker."""
    return _ADDERS[protocol](body, instruction)


def with_thought(protocol: str, body: Body, thought: str) -> Body:
    """``body`` with the thinker's last ``thought`` as a note, for every leaf but the thinker itself; ``body`` as it is
    where the thought is empty. Tags in the thought that look like ours are taken out, so that it ends where we say."""
    clean = _TAG.sub("", thought).strip()
    return _ADDERS[protocol](body, _NOTE.format(thought=clean)) if clean else body


def _responses(body: Body, text: str) -> Body:
    if body.get("input") is None and isinstance(body.get("messages"), list):
        return _chat(body, text)
    given = body.get("input")
    said = [{"role": "user", "content": given}] if isinstance(given, str) else list(given or ())
    return {**body, "input": [*said, {"role": "user", "content": [{"type": "input_text", "text": text}]}]}


def _chat(body: Body, text: str) -> Body:
    # A message of its own, whatever comes before: a tool's result takes no text beside it.
    return {**body, "messages": [*(body.get("messages") or ()), {"role": "user", "content": text}]}


def _messages(body: Body, text: str) -> Body:
    """Into the last turn where that is the user's, behind tool results, which must come first. Where the last turn is
    an answer for the model to go on with, into the user's turn before it."""
    turns: list[Any] = list(body.get("messages") or ())
    block = {"type": "text", "text": text}
    for at in range(len(turns) - 1, -1, -1):
        if turns[at].get("role") == "user":
            turns[at] = {**turns[at], "content": [*_blocks(turns[at].get("content")), block]}
            return {**body, "messages": turns}
    return {**body, "messages": [{"role": "user", "content": [block]}, *turns]}


def _blocks(content: Any) -> Sequence[Any]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content or ()


_ADDERS: dict[str, Callable[[Body, str], Body]] = {
    "responses": _responses,
    "chat_completions": _chat,
    "messages": _messages,
}
