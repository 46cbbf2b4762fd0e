"""The deployer's own catalogue entries, read from SSM and from S3 by real function processes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from dev.serve import Backends
from tests.gateway import Origin, origin
from tests.web.test_providers import FRONTENDS, ask, text_of

OWN: dict[str, Any] = {
    "models": [
        {
            "slug": "house-model",
            "aliases": ["house"],
            "routes": [
                {
                    "provider": "azure",
                    "model": "house-gpt-5-mini",
                    "usd_per_million": {"input": 1, "output": 2},
                    "protocols": ["responses", "chat_completions"],
                }
            ],
        },
        {"slug": "gpt-4o", "routes": [{"provider": "azure", "model": "team-gpt-4o"}]},
    ],
    "hide": ["gpt-4o-mini", "openai/gpt-4o"],
    "auto": ["house-model"],
}


@pytest.fixture(scope="module", params=["ssm", "s3"])
def served(request: pytest.FixtureRequest, gateway_backends: Backends) -> Iterator[Origin]:
    tables = gateway_backends.tables
    if request.param == "ssm":
        name = f"/models/{uuid.uuid4().hex}"
        tables.client("ssm").put_parameter(Name=name, Value=json.dumps(OWN), Type="String")
        location = f"ssm:{name}"
    else:
        bucket = tables.create_bucket()
        tables.client("s3").put_object(Bucket=bucket, Key="dir/own models.json", Body=json.dumps(OWN).encode())
        location = f"s3://{bucket}/dir/own models.json"
    with origin(gateway_backends, {"HEADGATE_CATALOG": location}) as running:
        yield running


def test_the_model_lists_have_them(served: Origin):
    assert served.get("/v1/models/house").json()["id"] == "house-model"
    listed = {row["id"] for row in served.get("/v1/models").json()["data"]}
    assert "house-model" in listed and "gpt-4o-mini" not in listed and "claude-haiku-4-5" in listed
    assert set(served.get("/v1/models/gpt-4o").json()["providers"]) == {"azure"}
    assert served.get("/v1/models/gpt-4o-mini").status_code == 404


@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize(
    ("asked", "slug", "deployment"),
    [("house", "house-model", "house-gpt-5-mini"), ("auto", "house-model", "house-gpt-5-mini")]
    + [("gpt-4o", "gpt-4o", "team-gpt-4o")],
)
def test_requests_go_where_they_say(
    served: Origin, gateway_backends: Backends, asked: str, slug: str, deployment: str, frontend: str
):
    marker = f"own-{uuid.uuid4().hex}"
    answer = served.post(*ask(frontend, asked, f"{marker} [[say:From the house.]]"))
    assert answer.status_code == 200, answer.text
    assert text_of(frontend, answer.json()) == "From the house." and answer.json()["model"] == f"azure/{slug}"
    (recorded,) = gateway_backends.simulated.recorded(marker=marker)
    assert recorded.path.startswith("/azure/openai/v1/") and recorded.body["model"] == deployment
    if slug == "house-model":
        row = served.log_row(answer.headers["x-request-id"])
        assert row.cost_pico == row.input_tokens * 1_000_000 + row.output_tokens * 2_000_000 > 0
    hidden = served.post(*ask(frontend, "gpt-4o-mini", "hello"))
    assert hidden.status_code == 400 and "does not exist" in hidden.json()["error"]["message"]


@pytest.mark.parametrize("location", ["ssm:/not/there", "s3://no-such-bucket-here/own.json"])
def test_without_the_entries_nothing_is_served(gateway_backends: Backends, location: str):
    """What the deployer has hidden must not be offered because the list of it cannot be read."""
    with origin(gateway_backends, {"HEADGATE_CATALOG": location}) as running:
        for frontend in FRONTENDS:
            answer = running.post(*ask(frontend, "gpt-4o", "hello"))
            assert answer.status_code >= 500 and location not in answer.text, answer.text
        assert running.get("/v1/models").status_code >= 500
