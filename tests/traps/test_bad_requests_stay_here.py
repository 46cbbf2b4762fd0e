"""Requests that can only fail, and are sent to the vendor all the same.

Complaint: a misspelt role or a negative bound costs a call, comes back as the vendor's error in the wrong envelope, or
as a 500 with a Python traceback.
Request: bodies with a wrong type, an unknown role, nothing to say, no model, impossible numbers.
The vendor must never hear of them.
The client must see a 400 in its own envelope that says which field is wrong.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.traps.kit import Client, mark
from tests.traps.providers import OFFERS, Offer, pair_id

both = pytest.mark.parametrize("stream", [False, True], ids=pair_id)


def bad(frontend: str, marker: str) -> dict[str, tuple[dict[str, Any], str]]:
    """Changes to a good body, each with the field that the error has to name. None takes the field out."""
    hello = {"role": "user", "content": f"{marker} hello"}
    given = "input" if frontend == "responses" else "messages"
    limit = {"responses": "max_output_tokens", "chat_completions": "max_tokens", "messages": "max_tokens"}[frontend]
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "a number for the conversation": ({given: 7}, given),
        "an unknown role": ({given: [{"role": "wizard", "content": marker}]}, "role"),
        "nothing said": ({given: "" if frontend == "responses" else []}, given),
        "no conversation": ({given: None}, given),
        "a negative bound": ({limit: -1}, limit),
        "a bound in words": ({limit: "many"}, limit),
        "a temperature of 3": ({"temperature": 3}, "temperature"),
        "tools in words": ({"tools": "all"}, "tools"),
        "stream in words": ({"stream": "yes"}, "stream"),
        "an unknown choice": ({"tools": [], "tool_choice": "perhaps"}, "tool_choice"),
        "content of a wrong type": ({given: [hello, {"role": "assistant", "content": 5}]}, "content"),
    }
    if frontend != "responses":
        cases["words for messages"] = ({"messages": "oops"}, "messages")
    if frontend == "messages":
        cases["no bound"] = ({limit: None}, limit)
    else:
        cases["no model"] = ({"model": None}, "model")
        cases["a model that is a number"] = ({"model": 4}, "model")
    return cases


FRONTENDS = ("responses", "chat_completions", "messages")
CASES = [(frontend, case) for frontend in FRONTENDS for case in bad(frontend, "")]


@both
@pytest.mark.parametrize(("frontend", "case"), CASES)
def test_a_bad_body_is_refused_here(client: Client, frontend: str, case: str, stream: bool):
    for offer in OFFERS:
        marker = mark()
        changes, field = bad(frontend, marker)[case]
        response = client.send(frontend, body_of(frontend, offer, marker, stream) | changes)
        assert response.status_code == 400, response.text
        answer = response.json()
        error = answer["error"]
        assert error["type"] == "invalid_request_error"
        assert field in error["message"] or field in (error.get("param") or "")
        if frontend == "messages":
            assert answer["type"] == "error" and set(error) <= {"type", "message", "details"}
        else:
            assert error["param"] and error["code"]
        assert not any(word in response.text for word in ("pydantic", "Traceback", "ValidationError"))
        assert client.heard(marker) == []


def body_of(frontend: str, offer: Offer, marker: str, stream: bool) -> dict[str, Any]:
    """A good body."""
    hello = [{"role": "user", "content": f"{marker} hello"}]
    if frontend == "responses":
        return {"model": offer.name, "input": hello, "stream": stream}
    return {"model": offer.name, "messages": hello, "max_tokens": 500, "stream": stream}


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_the_body_itself_is_good(client: Client, frontend: str):
    for offer in OFFERS:
        marker = mark()
        assert client.send(frontend, body_of(frontend, offer, marker, False)).status_code == 200
        assert len(client.heard(marker)) == 1
