"""Headers that get lost, get doubled, or go where they must not.

Complaint: betas that Claude Code asks for vanish or arrive twice; a cloud platform answers 400 to a beta that it does
not know; a gateway sends its clients' keys on to the vendor; nobody can tell which request an error belongs to.
Request: ``anthropic-beta`` in several headers and in lists, ``anthropic-version`` or none, cookies and keys.
The vendor must get each beta once, as far as it knows it, a version always, the gateway's own credentials and nothing
of the client's.
The client must see a request id on every answer, the same one in the body of an error.
"""

from __future__ import annotations

import httpx
import pytest

from headgate.providers.rows import PROVIDERS
from tests.traps.kit import PATHS, Client, mark, request
from tests.traps.providers import OFFERS, Offer, pair_id, pairs

both = pytest.mark.parametrize("stream", [False, True], ids=pair_id)
CLAUDES = [each for each in OFFERS if "sonnet" in each.model]
NATIVE = [each for each in CLAUDES if "messages" in each.native]
KNOWN = "context-1m-2025-08-07"
ALSO_KNOWN = "fine-grained-tool-streaming-2025-05-14"
UNKNOWN = "brand-new-2031-01-01"


def betas(client: Client, offer: Offer, headers: list[tuple[str, str]], *, stream: bool = False) -> list[str]:
    """The betas that reach the vendor."""
    marker = mark()
    body = request("messages", offer.name, f"{marker}[[say:ok]]", stream=stream)
    response = client.send("messages", body, headers)
    assert response.status_code == 200, response.text
    heard = client.heard_once(marker)
    if "anthropic_beta" in (fields := (heard.body or {}).get("additionalModelRequestFields") or {}):
        return list(fields["anthropic_beta"])
    return [each for each in heard.headers.get("anthropic-beta", "").split(",") if each]


@both
@pytest.mark.parametrize("offer", CLAUDES, ids=pair_id)
def test_each_beta_arrives_once_where_it_is_known(client: Client, offer: Offer, stream: bool):
    headers = [
        ("anthropic-beta", f"{KNOWN}, {ALSO_KNOWN}"),
        ("anthropic-beta", f"{ALSO_KNOWN},{UNKNOWN}"),
        ("anthropic-beta", KNOWN),
    ]
    allowed = PROVIDERS[offer.provider].betas
    wanted = [beta for beta in (KNOWN, ALSO_KNOWN, UNKNOWN) if allowed is None or beta in allowed]
    assert KNOWN in wanted
    assert betas(client, offer, headers, stream=stream) == wanted


@pytest.mark.parametrize("offer", CLAUDES, ids=pair_id)
def test_an_unknown_beta_alone_leaves_no_empty_header(client: Client, offer: Offer):
    allowed = PROVIDERS[offer.provider].betas
    assert betas(client, offer, [("anthropic-beta", UNKNOWN)]) == ([UNKNOWN] if allowed is None else [])
    assert betas(client, offer, [("anthropic-beta", ",")]) == []


@pytest.mark.parametrize("offer", CLAUDES, ids=pair_id)
def test_betas_that_the_gateway_fulfils_itself_stay_here(client: Client, offer: Offer):
    assert betas(client, offer, [("anthropic-beta", f"message-threads-2026-08-12,{KNOWN}")]) == [KNOWN]


@pytest.mark.parametrize(("frontend", "offer"), [pair for pair in pairs() if pair[1] not in CLAUDES], ids=pair_id)
def test_betas_mean_nothing_to_other_vendors(client: Client, frontend: str, offer: Offer):
    marker = mark()
    body = request(frontend, offer.name, f"{marker}[[say:ok]]")
    assert client.send(frontend, body, {"anthropic-beta": KNOWN}).status_code == 200
    heard = client.heard_once(marker)
    assert KNOWN not in heard.text and "anthropic-beta" not in heard.headers


@pytest.mark.parametrize("offer", [each for each in NATIVE if each.provider == "anthropic"], ids=pair_id)
def test_a_version_is_always_sent(client: Client, offer: Offer):
    sent: list[str] = []
    for frontend, version in (
        ("messages", None),
        ("messages", "2023-06-01"),
        ("messages", "2026-10-21"),
        ("chat_completions", "2026-10-21"),
        ("responses", None),
    ):
        marker = mark()
        headers = {"anthropic-version": version} if version else None
        client.ask(frontend, request(frontend, offer.name, f"{marker}[[say:ok]]"), headers)
        sent.append(client.heard_once(marker).headers["anthropic-version"])
    # The client's own for its own protocol; a translated request is written for the older one.
    assert sent == ["2023-06-01", "2023-06-01", "2026-10-21", "2023-06-01", "2023-06-01"]


@pytest.mark.parametrize("scheme", ["bearer", "x-api-key"])
@pytest.mark.parametrize(("frontend", "offer"), pairs(), ids=pair_id)
def test_nothing_of_the_clients_own_travels_on(client: Client, frontend: str, offer: Offer, scheme: str):
    marker, key = mark(), client.origin.key
    auth = {"authorization": f"Bearer {key}"} if scheme == "bearer" else {"x-api-key": key}
    headers = {
        **auth,
        "cookie": "session=clients-cookie",
        "x-goog-api-key": "clients-google-key",
        "openai-organization": "org-client",
        "x-forwarded-for": "203.0.113.7",
        "user-agent": "clients-agent/1",
    }
    body = request(frontend, offer.name, f"{marker}[[say:ok]]")
    response = httpx.post(client.origin.url + PATHS[frontend], json=body, headers=headers, timeout=60)
    assert response.status_code == 200, response.text
    heard = client.heard_once(marker)
    told = (
        "\n".join(f"{name}: {value}" for name, value in heard.headers.items()) + heard.query + heard.path + heard.text
    )
    for secret in (key, "clients-cookie", "clients-google-key", "org-client", "203.0.113.7", "clients-agent"):
        assert secret not in told, secret
    assert "simulated" in told


@both
@pytest.mark.parametrize(("frontend", "offer"), pairs(), ids=pair_id)
def test_every_answer_has_a_request_id(client: Client, frontend: str, offer: Offer, stream: bool):
    names = ("x-request-id", "request-id") if frontend == "messages" else ("x-request-id",)
    seen: set[str] = set()
    for text in ("[[say:ok]]", "[[fail:500]]"):
        response = client.send(frontend, request(frontend, offer.name, mark() + text, stream=stream))
        ids = {response.headers[name] for name in names}
        assert len(ids) == 1
        seen |= ids
        if response.status_code != 200:
            assert response.json()["request_id"] in ids
    assert len(seen) == 2
