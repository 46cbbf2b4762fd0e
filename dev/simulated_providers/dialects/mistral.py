"""Mistral's dialect of Chat Completions.

Every field it does not know is a 422 with FastAPI's list of what is wrong. Ids of calls have nine letters and digits,
thoughts stand in ``content`` as parts, usage comes unasked beside the finish reason, a call comes in one piece in that
same chunk, and an assistant message at the end (``prefix``) is repeated at the beginning of the answer.
"""

from __future__ import annotations

import re
import secrets
import string
from typing import Any

from starlette.requests import Request

from .. import chat_answer as answers
from .. import openai_common as openai
from ..dialect import Dialect
from ..openai_common import Refused
from ..reading import Call, Faults
from ..seals import seal
from ..shapes import Problem, Tag
from .mistral_request import CREATE, in_openais_terms

_FAMILY = re.compile(
    r"^((mistral|ministral|magistral|codestral|devstral|pixtral|voxtral)-|open-(mistral|mixtral|codestral)-)"
)
_ADJUSTABLE = re.compile(r"^mistral-(small-(2603|latest)|medium-(2604|3-5|3\.5)|large-4)")
_ALPHABET = string.ascii_letters + string.digits
_FINISH = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "function_call": "tool_calls"}


def reasons(model: str) -> bool:
    """Whether the model can think."""
    model = openai.bare(model)
    return model.startswith("magistral-") or bool(_ADJUSTABLE.match(model))


def efforts(model: str) -> tuple[str, ...]:
    """The efforts that the model takes; Magistral thinks always and takes none."""
    model = openai.bare(model)
    if model.startswith("mistral-large-4"):
        return ("none", "low", "medium", "high")
    return ("none", "high") if _ADJUSTABLE.match(model) else ()


def _default_effort(model: str) -> str | None:
    return "none" if efforts(model) else "high" if reasons(model) else None


def _call_id() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(9))


def _key(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip() or "invalid" in key:
        raise Refused(401, "Unauthorized", type="bare")
    return key.strip()


def _headers() -> dict[str, str]:
    return {
        "x-simulated": "1",
        "mistral-correlation-id": secrets.token_hex(16),
        "x-ratelimit-limit-req-minute": "360",
        "x-ratelimit-remaining-req-minute": "359",
        "x-ratelimit-limit-tokens-minute": "2000000",
        "x-ratelimit-remaining-tokens-minute": "1999000",
    }


_PYDANTIC = {
    "unknown": ("extra_forbidden", "Extra inputs are not permitted"),
    "missing": ("missing", "Field required"),
    "below": ("greater_than_equal", "Input should be greater than or equal to {limit}"),
    "above": ("less_than_equal", "Input should be less than or equal to {limit}"),
    "short": ("string_too_short", "String should have at least {limit} characters"),
    "long": ("string_too_long", "String should have at most {limit} characters"),
    "few": ("too_short", "List should have at least {limit} item after validation, not {got}"),
    "many": ("too_long", "List should have at most {limit} items after validation, not {got}"),
    "pattern": ("string_pattern_mismatch", "String should match pattern '{pattern}'"),
    "tag": ("union_tag_invalid", "Input tag '{got}' found does not match any of the expected tags"),
    "enum": ("enum", "Input should be one of the allowed values"),
    "type": ("type_error", "Input should be {expected}"),
}


def _checked(body: dict[str, Any], endpoint: Any) -> dict[str, Any]:
    """The body in OpenAI's terms. Raises Refused in Mistral's words."""
    try:
        CREATE(body, ())
    except Problem as problem:
        kind, words = _PYDANTIC[problem.kind]
        steps = [str(step) if isinstance(step, Tag) else step for step in problem.path]
        entry = {"type": kind, "loc": ["body", *steps], "msg": words.format(**problem.facts)}
        raise _Invalid(entry) from None
    effort = body.get("reasoning_effort")
    if effort is not None and effort not in efforts(body["model"]) and _known(body["model"]):
        text = f"reasoning_effort {effort} is not supported by {openai.bare(body['model'])}."
        raise Refused(400, text, "3051")
    return in_openais_terms(body)


class _Invalid(Refused):
    """A body that FastAPI refuses; ``entry`` is what it lists."""

    def __init__(self, entry: dict[str, Any]) -> None:
        super().__init__(422, entry["msg"])
        self.entry = entry


def _known(model: str) -> bool:
    return bool(_FAMILY.match(openai.bare(model)))


def _error(refused: Refused) -> dict[str, Any]:
    if refused.type == "bare":
        return {"detail": refused.message}
    message: Any = refused.message
    if isinstance(refused, _Invalid):
        message = {"detail": [refused.entry]}
    return {"object": "error", "message": message, "type": refused.type, "param": None, "code": refused.code}


def _unknown_model(model: str) -> Refused:
    return Refused(400, f"Invalid model: {model}", "1500", type="invalid_model")


_FAILURES = {
    401: ("Unauthorized", "bare", None),
    429: ("Rate limit exceeded", "rate_limited", "1300"),
    503: ("Service tier capacity exceeded for this model.", "service_tier_capacity_exceeded", "3505"),
}


def _failure(faults: Faults) -> Refused:
    status, options = faults.status or 500, faults.status_options
    message, kind, code = _FAILURES.get(status, ("Internal server error", "internal_server_error", "1000"))
    headers = {"retry-after": options["retry-after"]} if "retry-after" in options else {}
    return Refused(
        status, options.get("message", message), options.get("code", code), None, options.get("type", kind), headers,
        "html" in options,
    )  # fmt: skip


def _stream_error() -> dict[str, Any]:
    return {"object": "error", "message": "Internal server error", "type": "internal_server_error", "param": None,
            "code": "1000"}  # fmt: skip


def _usage(usage: dict[str, Any]) -> dict[str, Any]:
    return {
        "prompt_tokens": usage["prompt_tokens"],
        "total_tokens": usage["total_tokens"],
        "completion_tokens": usage["completion_tokens"],
        "prompt_tokens_details": {"cached_tokens": usage["prompt_tokens_details"]["cached_tokens"]},
        "service_tier": "standard",
    }


def _prefix(answer: Any) -> str:
    """The text that the answer repeats first."""
    last = answer.body["messages"][-1]
    return last["content"] if last["role"] == "assistant" and isinstance(last.get("content"), str) else ""


def _finish(word: str | None, answer: Any) -> str | None:
    if word is not None and any(isinstance(step, Call) for step in answer.plan.steps) and word == "stop":
        return "tool_calls"
    return word if word is None else _FINISH.get(word, word)


def _parts(thoughts: str, text: str | None, model: str) -> list[dict[str, Any]]:
    thinking: dict[str, Any] = {"type": "thinking", "thinking": [{"type": "text", "text": thoughts}]}
    thinking |= {"closed": True, "signature": seal("mistral", thoughts, model)}
    return [thinking, {"type": "text", "text": text}] if text else [thinking]


def _completion(value: dict[str, Any], answer: Any) -> dict[str, Any]:
    choices: list[dict[str, Any]] = []
    for choice in value["choices"]:
        said = choice["message"]
        text = _prefix(answer) + (said.get("content") or said.get("refusal") or "")
        calls = [
            {"id": call["id"], "function": call["function"], "index": index}
            for index, call in enumerate(said.get("tool_calls") or [])
        ]
        thoughts = said.get("thoughts")
        content = _parts(thoughts, text, value["model"]) if thoughts else text
        message = {"role": "assistant", "tool_calls": calls or None, "content": content}
        finish = _finish(choice["finish_reason"], answer)
        choices.append({"index": choice["index"], "finish_reason": finish, "message": message})
    names = ("id", "created", "model")
    return {
        **{name: value[name] for name in names},
        "usage": _usage(value["usage"]),
        "object": "chat.completion",
        "choices": choices,
    }


def _chunk(value: dict[str, Any], answer: Any) -> list[dict[str, Any]]:
    """OpenAI's chunk as Mistral's. Calls wait for the finish reason, whose chunk carries them and the usage; what
    follows the thoughts is preceded by their signature."""
    if not value["choices"]:
        return []
    choice = value["choices"][0]
    thoughts: list[str] = answer.notes.setdefault(("thoughts", choice["index"]), [])
    if choice["delta"].get("thoughts"):
        thoughts.append(choice["delta"]["thoughts"])
    elif thoughts:
        part = {"type": "thinking", "thinking": [], "signature": seal("mistral", "".join(thoughts), value["model"])}
        thoughts.clear()
        signed = {**choice, "delta": {"content": [part]}, "finish_reason": None}
        head = {name: value[name] for name in ("id", "object", "created", "model")}
        return [{**head, "choices": [signed]}, *_told(value, choice, answer)]
    return _told(value, choice, answer)


def _told(value: dict[str, Any], choice: dict[str, Any], answer: Any) -> list[dict[str, Any]]:
    index, delta = choice["index"], choice["delta"]
    waiting: list[dict[str, Any]] = answer.notes.setdefault(("calls", index), [])
    if delta.get("tool_calls"):
        waiting += [{**call, "index": len(waiting) + at} for at, call in enumerate(delta["tool_calls"])]
        return []
    made: dict[str, Any] = {}
    finish = _finish(choice["finish_reason"], answer)
    if "role" in delta:
        made = {"role": "assistant", "content": ""}
    elif delta.get("thoughts"):
        made = {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": delta["thoughts"]}]}]}
    elif finish is not None:
        made = {"content": None if waiting else ""}
        if waiting:
            made["tool_calls"] = [{name: call[name] for name in ("id", "function", "index")} for call in waiting]
    elif "simulated_novelty" in delta:
        made = delta
    elif delta.get("content") or delta.get("refusal"):
        made = {"content": delta.get("content") or delta["refusal"]}
        if not answer.notes.setdefault(("spoke", index), False):
            answer.notes["spoke", index] = True
            made["content"] = _prefix(answer) + made["content"]
    else:
        return []
    names = ("id", "object", "created", "model")
    whole = {
        **{name: value[name] for name in names},
        "choices": [{"index": index, "delta": made, "finish_reason": finish}],
    }
    if finish is not None and index == answer.number - 1:
        whole["usage"] = _usage(answers.usage(answer))
    return [{**whole, "p": openai.padding(str(made.get("content") or ""))}]


MISTRAL = Dialect(
    "mistral",
    {"chat_completions": "/mistral/v1/chat/completions"},
    _known,
    reasons=reasons,
    efforts=efforts,
    default_effort=_default_effort,
    key=_key,
    headers=_headers,
    in_openais_terms=_checked,
    completion=_completion,
    chunk=_chunk,
    error=_error,
    stream_error=_stream_error,
    failure=_failure,
    thought=lambda text: {"thoughts": text},
    call_id=_call_id,
    unknown_model=_unknown_model,
    remembers=True,
    takes_thoughts=True,
    whole_calls=True,
)
