"""What one provider cannot do or does not let in: several choices from one that gives one, a key that Google refuses
with a 400, offsets that Google counts in bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dev.serve import Backends
from dev.simulated_providers.server import Running, serve
from tests.gateway import Origin, origin

MODELS = ("own-groq", "own-together")


@pytest.fixture(scope="module")
def compatible() -> Iterator[Running]:
    with serve(models=MODELS) as running:
        yield running


@pytest.fixture(scope="module")
def configured(
    gateway_backends: Backends, compatible: Running, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Origin]:
    """Groq and Together as OpenAI's simulation, Google with a wrong key, a model that Google and OpenAI have."""
    price = {"usd_per_million": {"input": 1, "output": 2}}
    models = [{"slug": name, "routes": [{"provider": name[4:], **price}]} for name in MODELS]
    both = [
        {"provider": "vertex", "model": "gemini-2.5-flash", **price},
        {"provider": "openai", "model": "gpt-4o-mini", **price},
    ]
    own: Path = tmp_path_factory.mktemp("catalog") / "own.json"
    own.write_text(json.dumps({"models": [*models, {"slug": "own-both", "routes": both}]}))
    environment = {
        "HEADGATE_CATALOG": str(own),
        "HEADGATE_VERTEX_API_KEY": "invalid-key",
        "HEADGATE_VERTEX_BASE_URL": gateway_backends.simulated.url + "/vertex",
    }
    for name in ("GROQ", "TOGETHER"):
        environment[f"HEADGATE_{name}_BASE_URL"] = compatible.url + "/openai/v1"
        environment[f"HEADGATE_{name}_API_KEY"] = "sk-compatible"
    with origin(gateway_backends, environment) as running:
        yield running


def chat(model: str, text: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


def streamed_choices(text: str) -> dict[int, str]:
    """The text of each choice."""
    found: dict[int, str] = {}
    for line in text.splitlines():
        if line.startswith("data:") and "[DONE]" not in line:
            for choice in json.loads(line[5:])["choices"]:
                found[choice["index"]] = found.get(choice["index"], "") + (choice["delta"].get("content") or "")
    return found


def test_several_choices_are_several_calls_where_the_provider_gives_one(configured: Origin, compatible: Running):
    answer = configured.post("/v1/chat/completions", chat("own-groq", "groq-json [[say:yes]]", n=3, seed=7))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert [(choice["index"], choice["message"]["content"]) for choice in body["choices"]] == [
        (0, "yes"),
        (1, "yes"),
        (2, "yes"),
    ]
    calls = compatible.recorded(marker="groq-json")
    assert len(calls) == 3 and not any("n" in call.body for call in calls)
    assert all(call.body["seed"] == 7 for call in calls)
    assert "x-headgate-losses" not in answer.headers
    # Paid for three times.
    (one,) = [configured.post("/v1/chat/completions", chat("own-groq", "groq-json [[say:yes]]", seed=7)).json()]
    assert body["usage"]["total_tokens"] == 3 * one["usage"]["total_tokens"]

    answer = configured.post("/v1/chat/completions", chat("own-groq", "groq-stream [[say:yes]]", n=2, stream=True))
    assert answer.status_code == 200 and streamed_choices(answer.text) == {0: "yes", 1: "yes"}
    assert answer.text.rstrip().endswith("data: [DONE]")
    assert len(compatible.recorded(marker="groq-stream")) == 2


def test_elsewhere_several_choices_are_one_call(configured: Origin, compatible: Running):
    answer = configured.post("/v1/chat/completions", chat("own-together", "together-two [[say:yes]]", n=2))
    assert [choice["message"]["content"] for choice in answer.json()["choices"]] == ["yes", "yes"]
    (call,) = compatible.recorded(marker="together-two")
    assert call.body["n"] == 2


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_key_that_google_refuses_is_not_the_callers_fault(configured: Origin, path: str):
    answer = configured.post(path, chat("own-both", "bad-key [[say:still here]]", max_tokens=100))
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-headgate-provider"] == "openai" and answer.headers["x-headgate-attempts"] == "2"
    row = configured.log_row(answer.headers["x-request-id"])
    assert [(each["provider"], each["status"]) for each in row.attempts] == [("vertex", 400), ("openai", 200)]
    # Alone, it is the provider that failed, and not the request.
    alone = configured.post(path, chat("gemini-2.5-flash", "bad-key", max_tokens=100))
    assert alone.status_code == 424 and "API key not valid" in alone.text


@pytest.mark.parametrize("query", ["cats", "Zürich", "東京 🌊 café"])
def test_googles_offsets_in_bytes_are_the_clients_in_characters(gateway_origin: Origin, query: str):
    sentences = [f"According to the news, {query} is well known.", f" The encyclopedia agrees about {query}."]
    body = {"model": "gemini-2.5-flash", "input": f"[[search:{query}]]", "tools": [{"type": "web_search"}]}
    answer = gateway_origin.post("/v1/responses", body)
    assert answer.status_code == 200, answer.text
    (message,) = [item for item in answer.json()["output"] if item["type"] == "message"]
    (part,) = message["content"]
    cited = [part["text"][note["start_index"] : note["end_index"]] for note in part["annotations"]]
    assert cited == sentences
    answer = gateway_origin.post(
        "/v1/chat/completions", chat("gemini-2.5-flash", f"[[search:{query}]]", web_search_options={})
    )
    message = answer.json()["choices"][0]["message"]
    notes = [note["url_citation"] for note in message["annotations"]]
    assert [message["content"][note["start_index"] : note["end_index"]] for note in notes] == sentences
