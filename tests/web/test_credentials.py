"""Two accounts at one provider: a conversation goes back to the one that made its reasoning, or goes on without it."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from dev.serve import Backends
from dev.simulated_providers.recorder import Recorded
from dev.simulated_providers.server import Running, serve
from tests.gateway import Origin, origin

FRONTENDS = ("responses", "chat_completions", "messages")
PATHS = {"responses": "/v1/responses", "chat_completions": "/v1/chat/completions", "messages": "/v1/messages"}
KEYS = ("sk-first-account", "sk-second-account")
MODEL = "gpt-5-mini"
TOKEN = re.compile(r"hg1\.([\w-]+)\.[\w-]+")

each = pytest.mark.parametrize(
    ("frontend", "stream"), [(name, stream) for name in FRONTENDS for stream in (False, True)]
)


@pytest.fixture(scope="module")
def openai() -> Iterator[Running]:
    with serve() as running:
        yield running


@pytest.fixture(scope="module")
def two(gateway_backends: Backends, openai: Running) -> Iterator[Origin]:
    """A gateway with two keys of OpenAI's, which it asks through Responses whatever the client speaks."""
    environment = {
        "HEADGATE_OPENAI_API_KEY": KEYS[0],
        "HEADGATE_OPENAI_API_KEY_2": KEYS[1],
        "HEADGATE_OPENAI_BASE_URL": f"{openai.url}/openai/v1",
        "HEADGATE_OPENAI_PROTOCOLS": "responses",
    }
    with origin(gateway_backends, environment) as running:
        yield running


@pytest.fixture(autouse=True)
def afresh(openai: Running) -> None:
    openai.clear()


def body_of(frontend: str, history: list[Any], stream: bool, model: str = MODEL) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "stream": stream}
    if frontend == "responses":
        include = ["reasoning.encrypted_content"]
        return body | {"input": history, "store": False, "include": include, "reasoning": {"effort": "medium"}}
    if frontend == "chat_completions":
        return body | {"messages": history, "reasoning_effort": "medium"}
    thinking = {"type": "enabled", "budget_tokens": 2000}
    return body | {"messages": history, "max_tokens": 6000, "thinking": thinking}


def events(text: str) -> list[dict[str, Any]]:
    lines = (line[6:] for line in text.splitlines() if line.startswith("data: ") and line != "data: [DONE]")
    return [json.loads(line) for line in lines]


def replayed(frontend: str, answer: httpx.Response, stream: bool) -> list[Any]:
    """The answer as the client would send it back."""
    if frontend == "responses":
        return events(answer.text)[-1]["response"]["output"] if stream else answer.json()["output"]
    if frontend == "chat_completions":
        if not stream:
            return [answer.json()["choices"][0]["message"]]
        deltas = [choice["delta"] for event in events(answer.text) for choice in event["choices"]]
        merged: dict[int, dict[str, Any]] = {}
        for entry in (entry for delta in deltas for entry in delta.get("reasoning_details") or ()):
            known = merged.setdefault(entry["index"], {})
            texts = {
                name: known.get(name, "") + (entry.get(name) or "") for name in ("text", "summary") if name in entry
            }
            merged[entry["index"]] = known | entry | texts
        details = list(merged.values())
        content = "".join(delta.get("content") or "" for delta in deltas)
        return [{"role": "assistant", "content": content, "reasoning_details": details}]
    if not stream:
        return [{"role": "assistant", "content": answer.json()["content"]}]
    blocks: list[dict[str, Any]] = []
    for event in events(answer.text):
        if event["type"] == "content_block_start":
            blocks.append(dict(event["content_block"]))
        elif event["type"] == "content_block_delta":
            for name, value in event["delta"].items():
                if name != "type":
                    blocks[-1][name] = blocks[-1].get(name, "") + value
    return [{"role": "assistant", "content": blocks}]


def key_of(recorded: Recorded) -> str:
    return recorded.headers["authorization"].removeprefix("Bearer ")


def reasoning_of(recorded: Recorded) -> list[dict[str, Any]]:
    return [item for item in recorded.body["input"] if item.get("type") == "reasoning"]


def made_by(text: str) -> list[str]:
    """The credentials that the tokens in an answer name."""
    payloads = (found + "=" * (-len(found) % 4) for found in TOKEN.findall(text))
    return [json.loads(base64.urlsafe_b64decode(payload))[5] for payload in payloads]


def losses(answer: httpx.Response) -> str:
    return answer.headers.get("x-headgate-losses", "")


class Conversation:
    """A first turn, and the next ones with the whole history, as ``frontend`` has it."""

    def __init__(self, at: Origin, upstream: Running, frontend: str, stream: bool, mark: str) -> None:
        self.at, self.upstream, self.frontend, self.stream, self.mark = at, upstream, frontend, stream, mark
        self.history: list[Any] = []

    def say(self, text: str, headers: dict[str, str] | None = None) -> tuple[httpx.Response, list[Recorded]]:
        """The answer, and what reached the upstream for it."""
        self.history.append({"role": "user", "content": f"{self.mark} {text}"})
        before = len(self.upstream.recorded(marker=self.mark))
        body = body_of(self.frontend, self.history, self.stream)
        answer = self.at.post(PATHS[self.frontend], body, headers=headers)
        if answer.status_code == 200:
            self.history += replayed(self.frontend, answer, self.stream)
        return answer, self.upstream.recorded(marker=self.mark)[before:]


@each
def test_the_second_turn_goes_where_the_first_was_reasoned(two: Origin, openai: Running, frontend: str, stream: bool):
    """The account of the first choice is busy at first, so that the hash alone would lead astray."""
    talk = Conversation(two, openai, frontend, stream, f"return-{frontend}-{stream}")
    openai.behave("[[fail:429]]", marker=talk.mark)
    first, (refused, served) = talk.say("[[think:Hm.]][[say:One.]]")
    assert first.status_code == 200, first.text
    assert {key_of(refused), key_of(served)} == set(KEYS)
    row = two.log_row(first.headers["x-request-id"])
    credentials = [attempt["credential"] for attempt in row.attempts]
    assert len(set(credentials)) == 2 and all(re.fullmatch("[0-9a-f]{8}", each) for each in credentials)
    makers = made_by(first.text)
    # A Responses stream shows it when the item ends and in the final object.
    assert (
        makers and set(makers) == {credentials[1]} and len(makers) >= (2 if stream and frontend == "responses" else 1)
    )

    second, (again,) = talk.say("[[say:Two.]]")
    assert second.status_code == 200, second.text
    assert key_of(again) == key_of(served) and second.headers["x-headgate-attempts"] == "1"
    (sent,) = reasoning_of(again)
    assert sent["encrypted_content"] and "hg1." not in again.text and not losses(second)
    third, (last,) = talk.say("[[say:Three.]]")
    assert third.status_code == 200 and key_of(last) == key_of(served) and len(reasoning_of(last)) == 2


@each
def test_a_revoked_key_costs_the_reasoning_and_nothing_else(two: Origin, openai: Running, frontend: str, stream: bool):
    talk = Conversation(two, openai, frontend, stream, f"revoked-{frontend}-{stream}")
    first, (served,) = talk.say("[[think:Hm.]][[say:One.]]")
    assert first.status_code == 200
    openai.world.revoked.add(key_of(served))
    second, (refused, other) = talk.say("[[say:Two.]]")
    assert second.status_code == 200, second.text
    assert key_of(refused) == key_of(served) != key_of(other)
    assert not reasoning_of(other) and '"rs_' not in other.text and "One." in other.text
    assert "foreign_signature" in losses(second)
    assert [attempt["status"] for attempt in two.log_row(second.headers["x-request-id"]).attempts] == [401, 200]
    third, requests = talk.say("[[say:Three.]]")
    assert third.status_code == 200 and key_of(requests[-1]) == key_of(other)
    assert len(requests) == 1 and len(reasoning_of(requests[0])) == 1, "the newest reasoning leads, the older is lost"


@each
def test_reasoning_that_an_upstream_cannot_open_is_left_out_once(
    two: Origin, openai: Running, frontend: str, stream: bool
):
    talk = Conversation(two, openai, frontend, stream, f"unopened-{frontend}-{stream}")
    talk.say("[[think:Hm.]][[say:One.]]")
    words = "The encrypted content gAAA...DQ== could not be verified."
    openai.behave(f"[[fail:400 code=invalid_encrypted_content message={words}]]", marker=talk.mark)
    second, requests = talk.say("[[say:Two.]]")
    assert second.status_code == 200, second.text
    assert len(requests) == 2 and len({key_of(request) for request in requests}) == 1
    assert reasoning_of(requests[0]) and not reasoning_of(requests[1])
    assert "foreign_signature" in losses(second) and second.headers["x-headgate-attempts"] == "2"
    attempts = two.log_row(second.headers["x-request-id"]).attempts
    assert [attempt["status"] for attempt in attempts] == [400, 200]
    assert attempts[0]["credential"] == attempts[1]["credential"]
    # An upstream that says so of a request without any is believed.
    openai.behave(f"[[fail:400 code=invalid_encrypted_content message={words}]]", marker=talk.mark, times=2)
    third, requests = talk.say("[[say:Three.]]")
    assert third.status_code == 400 and len(requests) == 2 and third.json()["error"]["message"] == words


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_vendor_encrypted_for_others_is_left_out(two: Origin, openai: Running, stream: bool):
    """A client that talked to the vendor itself before; the simulation checks the seal against the key."""
    sent = httpx.post(
        f"{openai.url}/openai/v1/responses",
        json=body_of("responses", [{"role": "user", "content": "[[think:Hm.]][[say:One.]]"}], stream=False),
        headers={"authorization": "Bearer sk-third-account"},
    ).json()["output"]
    mark = f"foreign-{stream}"
    history = [*sent, {"role": "user", "content": f"{mark} [[say:Two.]]"}]
    answer = two.post("/v1/responses", body_of("responses", history, stream))
    assert answer.status_code == 200, answer.text
    refused, served = openai.recorded(marker=mark)
    assert reasoning_of(refused) and not reasoning_of(served) and "foreign_signature" in losses(answer)
    assert not [item for item in served.body["input"] if item.get("id")], "nothing that the vendor would look up"
    message = two.log_row(answer.headers["x-request-id"]).attempts[0]["error"]
    assert "organization_id did not match" in message
    counted = two.post("/v1/responses/input_tokens", {"model": MODEL, "input": history})
    assert counted.status_code == 200 and counted.headers["x-headgate-estimated"] == "true", counted.text
    strict = two.post("/v1/responses", body_of("responses", history, stream), headers={"x-headgate-strict": "true"})
    assert strict.status_code == 400


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [MODEL, "gpt-4o-mini"])
def test_a_stored_turn_remembers_its_account(two: Origin, openai: Running, stream: bool, model: str):
    """Also where the client never sees the reasoning, and where the model has none."""
    mark = f"stored-{stream}-{model}"
    openai.behave("[[fail:429]]", marker=mark)
    first = two.post("/v1/responses", {"model": model, "input": f"{mark} [[think:Hm.]][[say:One.]]", "stream": stream})
    assert first.status_code == 200 and "hg1." not in first.text
    id = events(first.text)[-1]["response"]["id"] if stream else first.json()["id"]
    served = openai.recorded(marker=mark)[-1]
    second = two.post("/v1/responses", {"model": model, "input": f"{mark} [[say:Two.]]", "previous_response_id": id})
    assert second.status_code == 200, second.text
    again = openai.recorded(marker=mark)[-1]
    assert key_of(again) == key_of(served) and second.headers["x-headgate-attempts"] == "1"
    assert len(reasoning_of(again)) == (1 if model == MODEL else 0)


@each
def test_another_tenant_gets_nothing_out_of_a_token(two: Origin, openai: Running, frontend: str, stream: bool):
    talk = Conversation(two, openai, frontend, stream, f"tenants-{frontend}-{stream}")
    talk.say("[[think:Hm.]][[say:One.]]")
    stranger = two.backends.create_key(owner=f"stranger-{frontend}-{stream}")
    answer, requests = talk.say("[[say:Two.]]", {"authorization": f"Bearer {stranger}"})
    assert answer.status_code == 200, answer.text
    assert len(requests) == 1 and not reasoning_of(requests[0]) and "foreign_signature" in losses(answer)


def test_conversations_spread_over_the_accounts(two: Origin, openai: Running):
    for number in range(16):
        text = f"spread-{number} [[say:ok]]"
        for _ in range(2):
            two.post("/v1/chat/completions", {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]})
        first, second = openai.recorded(marker=f"spread-{number} ")
        assert key_of(first) == key_of(second)
    assert {key_of(request) for request in openai.recorded(marker="spread-")} == set(KEYS)


@pytest.mark.parametrize("status", [401, 402, 403, 429, 500, 503])
def test_a_failing_account_is_left_for_the_other(two: Origin, openai: Running, status: int):
    openai.behave(f"[[fail:{status}]]", marker=f"failing-{status}")
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"failing-{status} [[say:ok]]"}]}
    answer = two.post("/v1/chat/completions", body)
    assert answer.status_code == 200, answer.text
    assert {key_of(request) for request in openai.recorded(marker=f"failing-{status}")} == set(KEYS)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize(
    ("model", "path", "words"),
    [
        ("claude-haiku-4-5", "/anthropic", "messages.1.content.0: Invalid `signature` in `thinking` block"),
        ("bedrock/claude-haiku-4-5", "/bedrock", "messages.1.content.0: Invalid `signature` in `thinking` block"),
        ("vertex/gemini-2.5-flash", "/vertex", "Corrupted thought signature."),
    ],
)
def test_signatures_that_an_upstream_refuses_are_left_out(
    gateway_origin: Origin, frontend: str, stream: bool, model: str, path: str, words: str
):
    upstream = gateway_origin.backends.simulated
    mark = f"signature-{frontend}-{stream}-{path}"
    history: list[Any] = [{"role": "user", "content": f"{mark} [[think:Hm.]][[say:One.]]"}]
    first = gateway_origin.post(PATHS[frontend], body_of(frontend, history, stream, model))
    assert first.status_code == 200, first.text
    history += [*replayed(frontend, first, stream), {"role": "user", "content": f"{mark} [[say:Two.]]"}]
    upstream.behave(f"[[fail:400 message={words}]]", path=path, marker=mark)
    second = gateway_origin.post(PATHS[frontend], body_of(frontend, history, stream, model))
    assert second.status_code == 200, second.text
    _, refused, served = upstream.recorded(path=path, marker=mark)
    assert re.search("ignature", refused.text) and not re.search('"(thoughtS|s)ignature"', served.text)
    assert "foreign_signature" in losses(second)


def test_a_tampered_signature_in_a_tool_loop(gateway_origin: Origin):
    """Without its thinking a tool loop cannot go on thinking: that is switched off for the second try too."""
    tool = {"name": "feed", "input_schema": {"type": "object", "properties": {"cat": {"type": "string"}}}}
    history: list[Any] = [{"role": "user", "content": 'tampered [[think:Hm.]][[tool:feed {"cat":"Tom"}]]'}]
    body = body_of("messages", history, stream=False, model="claude-haiku-4-5") | {"tools": [tool]}
    content = gateway_origin.post("/v1/messages", body).json()["content"]
    thought, call = content[0], content[-1]
    assert thought["type"] == "thinking" and call["type"] == "tool_use"
    thought["signature"] = thought["signature"][:-8] + "AAAAAAA="
    history += [
        {"role": "assistant", "content": content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": "fed"}]},
    ]
    answer = gateway_origin.post("/v1/messages", body)
    assert answer.status_code == 200, answer.text
    assert "foreign_signature" in losses(answer) and "thinking_dropped" in losses(answer)
    assert len(gateway_origin.backends.simulated.recorded(marker="tampered")) == 3
