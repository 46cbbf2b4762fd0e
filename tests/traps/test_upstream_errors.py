"""Vendors' errors that reach the client in the wrong form, with the wrong status, or without the time to wait.

Complaint: a 429 of one vendor becomes a 500 at the client, ``retry-after`` is lost or waited for inside the gateway,
Python exceptions are quoted, a code that was a number becomes odd text.
Request: every refusal of every vendor, in its own envelope, through each frontend.
The vendor must be asked once for each route, and not again.
The client must see its own protocol's envelope: the vendor's 400 and 413 as 400, 429 as 429, all else as 424, which no
SDK retries against a gateway that has tried all it has. The vendor's words stay as they are, and so do the headers that
tell its limits and the time to wait.
"""

from __future__ import annotations

import pytest

from tests.traps.kit import Client, mark, request
from tests.traps.providers import Offer, pair_id, pairs

both = pytest.mark.parametrize("stream", [False, True], ids=pair_id)
every_pair = pytest.mark.parametrize(("frontend", "offer"), pairs(), ids=pair_id)
STATUSES = {400: 400, 401: 424, 402: 424, 403: 424, 404: 424, 413: 400, 429: 429, 500: 424, 503: 424, 529: 424}
TYPES = {
    "messages": {400: "invalid_request_error", 429: "rate_limit_error", 424: "api_error"},
    "responses": {400: "invalid_request_error", 429: "rate_limit_error", 424: "provider_error"},
    "chat_completions": {400: "invalid_request_error", 429: "rate_limit_error", 424: "provider_error"},
}
WORDS = "No more of this today, please."
LEAKS = ("httpx", "httpcore", "Traceback", "Errno", "Exception(", "<html", "NoneType", 'File "')
LIMITS = {
    "openai": "x-ratelimit-remaining-requests",
    "azure": "x-ratelimit-remaining-requests",
    "anthropic": "anthropic-ratelimit-requests-remaining",
}


# A stream has not begun when a vendor refuses: three statuses show that it takes the same way.
REFUSALS = [
    (status, stream) for status in STATUSES for stream in (False, True) if not stream or status in (400, 429, 529)
]


@pytest.mark.parametrize(("status", "stream"), REFUSALS, ids=pair_id)
@every_pair
def test_a_refusal_in_the_clients_own_envelope(client: Client, frontend: str, offer: Offer, status: int, stream: bool):
    marker = mark()
    text = f"{marker}[[fail:{status} retry-after=7 message={WORDS}]]"
    response = client.send(frontend, request(frontend, offer.name, text, stream=stream))
    wanted = STATUSES[status]
    assert response.status_code == wanted, response.text
    assert response.headers["content-type"].startswith("application/json")
    body = response.json()
    error = body["error"]
    asked = client.heard(marker)
    # The simulated Azure has set phrases for a key and a deployment that it does not know.
    assert WORDS in error["message"] or (asked[-1].path.startswith("/azure") and status in (401, 404))
    assert error["type"] == TYPES[frontend][wanted]
    assert body["request_id"] == response.headers["x-request-id"]
    if frontend == "messages":
        assert body["type"] == "error" and "code" not in error
    else:
        assert {"message", "type", "param", "code"} <= error.keys()
        # A number that was the vendor's code is not made a word; Azure's own code for a bad key is this text.
        numbers = {str(status)} if not asked[-1].path.startswith("/azure") else set[str]()
        assert error["code"] is None or (isinstance(error["code"], str) and error["code"] not in {"", "None", *numbers})
    assert not any(leak in response.text for leak in LEAKS)
    # What tells when to come back stays, and nobody waited for it here: each route was asked once.
    if wanted != 400:
        assert response.headers["retry-after"] == "7"
    assert len(asked) == int(response.headers["x-headgate-attempts"]) <= 5
    assert len({one.path for one in asked}) == len(asked)


# Those whose last route, after the others have refused as well, is one that tells its limits.
TELLING = [pair for pair in pairs() if str(pair[1]) in ("openai", "anthropic", "azure")]


@both
@pytest.mark.parametrize(("frontend", "offer"), TELLING, ids=pair_id)
def test_a_vendors_limits_are_told_under_their_own_names(client: Client, frontend: str, offer: Offer, stream: bool):
    text = f"{mark()}[[fail:429 retry-after=3]]"
    response = client.send(frontend, request(frontend, offer.name, text, stream=stream))
    assert response.status_code == 429
    names = {name for name in response.headers if "ratelimit" in name}
    assert names & set(LIMITS.values()), dict(response.headers)
    assert all(response.headers[name] == "0" for name in names & set(LIMITS.values()))


@both
@every_pair
def test_a_page_of_a_proxy_is_not_shown(client: Client, frontend: str, offer: Offer, stream: bool):
    text = f"{mark()}[[fail:502 html]]"
    response = client.send(frontend, request(frontend, offer.name, text, stream=stream))
    assert response.status_code == 424
    assert response.json()["error"]["message"] and not any(leak in response.text for leak in LEAKS)


@both
@every_pair
def test_an_error_in_a_200_is_an_error(client: Client, frontend: str, offer: Offer, stream: bool):
    text = f"{mark()}[[error-first]]"
    response = client.send(frontend, request(frontend, offer.name, text, stream=stream))
    if response.status_code == 200:
        # A JSON answer of the client's own protocol has no first event that could be one.
        assert not stream
        return
    assert response.status_code == 424
    assert response.json()["error"]["message"] and not any(leak in response.text for leak in LEAKS)
