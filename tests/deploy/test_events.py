"""The events for `sam local invoke` are what a function URL sends, and each reaches its endpoint."""

from __future__ import annotations

import json
import tomllib
from typing import Any, cast

import pytest
from mangum import Mangum

from headgate.settings import Settings
from tests.deploy.rendering import ROOT, load_template

ENDPOINTS = {
    "responses": ("POST", "/v1/responses"),
    "responses_get": ("GET", "/v1/responses/"),
    "chat_completions": ("POST", "/v1/chat/completions"),
    "messages": ("POST", "/v1/messages"),
    "count_tokens": ("POST", "/v1/messages/count_tokens"),
    "models": ("GET", "/v1/models"),
    "health": ("GET", "/v1/responses/health"),
}


def load(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "events" / f"{name}.json").read_text())


def test_one_event_for_each_endpoint() -> None:
    assert {path.stem for path in (ROOT / "events").iterdir()} == set(ENDPOINTS)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_events_have_payload_format_2(name: str) -> None:
    event = load(name)
    assert event["version"] == "2.0"
    assert event["routeKey"] == "$default"
    http = event["requestContext"]["http"]
    assert event["rawPath"] == http["path"]
    assert all(header == header.lower() for header in event["headers"])
    assert event["isBase64Encoded"] is False
    if http["method"] == "POST":
        assert int(event["headers"]["content-length"]) == len(event["body"].encode())
        assert isinstance(json.loads(event["body"]), dict)
    else:
        assert "body" not in event


@pytest.mark.parametrize(("name", "endpoint"), ENDPOINTS.items())
def test_events_become_the_request_that_they_describe(name: str, endpoint: tuple[str, str]) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, await receive()))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    event: Any = load(name)
    answer = Mangum(app, lifespan="off")(event, cast(Any, None))
    assert answer["statusCode"] == 204
    [(scope, message)] = seen
    method, path = endpoint
    assert scope["method"] == method
    assert scope["path"].startswith(path) if path.endswith("/") else scope["path"] == path
    assert message["body"] == event.get("body", "").encode()
    headers = dict(scope["headers"])
    if name not in ("models", "health"):
        key = headers.get(b"x-api-key") or headers[b"authorization"].removeprefix(b"Bearer ")
        assert key.startswith(b"sk-hg-v1-")
        assert len(key) == 73


def test_functions_start_under_sam_local() -> None:
    """A reference to a resource is its logical name there, and none of these may be refused as a setting."""
    template = load_template()
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    resources = set(template["Resources"])
    local = {name: value["Ref"] for name, value in variables.items() if isinstance(value, dict) and "Ref" in value}
    profile = tomllib.loads((ROOT / "samconfig.toml").read_text())["default"]
    for command in ("local_invoke", "local_start_lambda"):
        overrides = json.loads((ROOT / profile[command]["parameters"]["env_vars"]).read_text())["Parameters"]
        assert set(overrides) <= set(variables)  # `sam local` ignores every other name
        names = {name: value for name, value in local.items() if value in resources} | overrides
        settings = Settings.from_env(names)
        assert settings.control_table == "ControlTable"
        assert settings.blob_bucket is None
