"""Several credentials of a provider: where they come from, what they may look like, how they are called."""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest

from dev.embedded_dynamodb import EmbeddedDynamoDB
from headgate.catalog.catalog import Catalog
from headgate.providers.auth import Access, Credentials
from headgate.providers.auth_tokens import CredentialFault
from headgate.providers.rows import PROVIDERS
from headgate.routing.candidates import reachable, resolve
from headgate.storage.aws import StoreUnavailable
from headgate.storage.aws_json import AwsJson
from headgate.storage.secrets import Secrets

CATALOG = Catalog.bundled()
PREFIX = "/headgate/test/providers/"


class Ssm:
    """The parameter store, counting calls. ``values`` by full name."""

    def __init__(self, values: Mapping[str, str], page: int = 10) -> None:
        self.values, self.page, self.calls, self.fails = values, page, 0, 0

    def connect(self) -> None: ...
    def recreate(self) -> None: ...

    async def run(self, work: Any) -> Any:
        return work()

    async def call(self, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        assert method == "get_parameters_by_path" and parameters["Path"] == PREFIX and parameters["WithDecryption"]
        self.calls += 1
        await asyncio.sleep(0)
        if self.fails:
            self.fails -= 1
            raise StoreUnavailable("down")
        begin = int(parameters.get("NextToken", "0"))
        names = sorted(self.values)[begin : begin + self.page]
        answer: dict[str, Any] = {"Parameters": [{"Name": name, "Value": self.values[name]} for name in names]}
        if begin + self.page < len(self.values):
            answer["NextToken"] = str(begin + self.page)
        return answer


def stored(**values: str) -> Ssm:
    return Ssm({PREFIX + name.replace("__", "/"): value for name, value in values.items()})


async def accesses(slug: str, **environ: str) -> tuple[Access, ...]:
    return await Credentials(environ).accesses(PROVIDERS[slug])


async def test_further_variables_add_credentials_up_to_the_first_gap():
    environ = {"HEADGATE_OPENAI_API_KEY_2": "b", "HEADGATE_OPENAI_API_KEY_3": "c", "HEADGATE_OPENAI_API_KEY_5": "e"}
    found = await accesses("openai", OPENAI_API_KEY="a", **environ)
    assert [access.headers["authorization"] for access in found] == ["Bearer a", "Bearer b", "Bearer c"]
    assert [access.headers["authorization"] for access in await accesses("openai", **environ)] == [
        "Bearer b",
        "Bearer c",
    ]
    same = await accesses("openai", HEADGATE_OPENAI_API_KEY="a", HEADGATE_OPENAI_API_KEY_2="a")
    assert len(same) == 1, "one account, however often it is named"


async def test_the_public_id_is_stable_and_gives_nothing_away():
    (first, second) = await accesses("openai", HEADGATE_OPENAI_API_KEY="sk-a", HEADGATE_OPENAI_API_KEY_2="sk-b")
    assert first.id == hashlib.sha256(b"openai\0sk-a").hexdigest()[:8] != second.id
    (other,) = await accesses("xai", XAI_API_KEY="sk-a")
    assert other.id != first.id
    (role,) = await accesses("bedrock", HEADGATE_BEDROCK_REGION="eu-west-1")
    assert role.id == "role/eu-west-1" and role.label == "aws"
    (simulated,) = await Credentials({}, simulated_url="http://127.0.0.1:9").accesses(PROVIDERS["openai"])
    assert simulated.id == "simulated"


async def test_azure_resources_differ_in_more_than_their_keys():
    second = {"api_key": "k2", "resource": "two", "model_ids": {"gpt-4o": "mine"}}
    one, two = await accesses(
        "azure", AZURE_API_KEY="k1", AZURE_RESOURCE_NAME="one", HEADGATE_AZURE_API_KEY_2=json.dumps(second)
    )
    assert one.url("responses").startswith("https://one.services.ai.azure.com/")
    assert two.url("responses").startswith("https://two.services.ai.azure.com/")
    assert (one.headers["api-key"], two.headers["api-key"]) == ("k1", "k2")
    assert two.model_ids == {"gpt-4o": "mine"} and two.only_named and not one.only_named
    # One application may have access to two resources.
    entra = {"tenant_id": "t", "client_id": "c", "client_secret": "s"}
    documents = [json.dumps({"api_key": entra, "resource": name}) for name in ("one", "two")]
    pair = await accesses("azure", HEADGATE_AZURE_API_KEY=documents[0], HEADGATE_AZURE_API_KEY_2=documents[1])
    assert len({access.id for access in pair}) == 2 and all(access.authorize for access in pair)


async def test_vendors_own_files_are_not_taken_for_documents():
    account = {"type": "service_account", "project_id": "from-file", "client_email": "x@y"}
    entra = {"tenant_id": "t", "client_id": "c", "client_secret": "s"}
    (vertex,) = await accesses("vertex", HEADGATE_VERTEX_API_KEY=json.dumps(account))
    assert vertex.settings["project"] == "from-file" and vertex.authorize
    (azure,) = await accesses("azure", HEADGATE_AZURE_API_KEY=json.dumps(entra), AZURE_RESOURCE_NAME="r")
    assert azure.authorize and azure.headers.get("api-key") is None
    elsewhere = {"api_key": account, "project": "other", "location": "europe-west1"}
    first, second, key = await accesses(
        "vertex",
        HEADGATE_VERTEX_API_KEY=json.dumps(account),
        HEADGATE_VERTEX_API_KEY_2=json.dumps(elsewhere),
        HEADGATE_VERTEX_API_KEY_3="AIza",
    )
    assert "/projects/from-file/locations/global/" in first.url("gemini", "m")
    assert second.url("gemini", "m").startswith("https://europe-west1-aiplatform.googleapis.com/v1/projects/other/")
    assert key.url("gemini", "m").startswith("https://generativelanguage.googleapis.com/")


async def test_bedrock_regions_of_the_role_and_a_keyless_server():
    environ = {
        "HEADGATE_BEDROCK_REGION": "us-east-1",
        "HEADGATE_BEDROCK_API_KEY_2": json.dumps({"region": "eu-west-1", "profile": "eu"}),
        "HEADGATE_BEDROCK_API_KEY_3": json.dumps({"api_key": "bedrock-key", "region": "ap-south-1"}),
    }
    one, two, three = await accesses("bedrock", **environ)
    assert [each.id for each in (one, two)] == ["role/us-east-1", "role/eu-west-1"]
    assert (one.profile, two.profile) == ("global", "eu") and one.authorize and two.authorize
    assert "eu-west-1" in two.url("converse", "m") and three.headers["authorization"] == "Bearer bedrock-key"
    pair = await accesses(
        "custom", HEADGATE_CUSTOM_BASE_URL="http://a/v1", HEADGATE_CUSTOM_API_KEY_2='{"base_url": "http://b/v1"}'
    )
    assert [each.base_url for each in pair] == ["http://a/v1", "http://b/v1"] and pair[0].id != pair[1].id


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"api_key": "SECRET", "regoin": "x"}, "unknown members: regoin"),
        ({"api_key": ["SECRET"]}, "is not a string"),
        ({"api_key": "SECRET", "base_url": 7}, "wrong type"),
        ({"api_key": "SECRET", "model_ids": {"a": 1}}, "wrong type"),
        ({}, "has no 'api_key'"),
    ],
)
async def test_a_malformed_document_is_named_and_stops_no_other(document: dict[str, Any], words: str):
    bad = json.dumps(document)
    with pytest.raises(CredentialFault, match=words) as caught:
        await accesses("openai", HEADGATE_OPENAI_API_KEY=bad)
    assert "SECRET" not in str(caught.value)
    told: list[str] = []
    environ = {"HEADGATE_OPENAI_API_KEY": bad, "HEADGATE_OPENAI_API_KEY_2": "good"}
    (found,) = await Credentials(environ, report=told.append).accesses(PROVIDERS["openai"])
    assert found.headers["authorization"] == "Bearer good" and len(told) == 1 and words in told[0]


async def test_ssm_holds_one_or_several_parameters_a_provider():
    ssm = stored(openai="a", openai__team_b="c", openai__team_a="b", openaix="no", anthropic__only="d", xai="")
    credentials = Credentials({}, Secrets(ssm).read_path, PREFIX)
    found = await credentials.accesses(PROVIDERS["openai"])
    assert [access.headers["authorization"] for access in found] == ["Bearer a", "Bearer b", "Bearer c"]
    assert {access.label for access in found} == {"ssm"}
    (anthropic,) = await credentials.accesses(PROVIDERS["anthropic"])
    assert anthropic.headers["x-api-key"] == "d"
    assert await credentials.accesses(PROVIDERS["xai"]) == ()
    assert ssm.calls == 1


async def test_a_cold_request_asks_ssm_once_however_many_come_together():
    ssm = stored(
        openai="a", openai__b="b", anthropic="c", bedrock="d", vertex="e", azure='{"api_key":"f","resource":"r"}'
    )
    now = [0.0]
    credentials = Credentials({}, Secrets(ssm).read_path, PREFIX, clock=lambda: now[0])

    async def request(name: str) -> int:
        return len(await reachable(resolve(name, CATALOG), credentials, "messages", name))

    counts = await asyncio.gather(*(request("claude-haiku-4-5") for _ in range(20)), request("gpt-4o"))
    assert ssm.calls == 1 and min(counts) >= 2
    await asyncio.gather(*(credentials.accesses(row) for row in PROVIDERS.values()))
    assert ssm.calls == 1, "listing the models asks no more"
    now[0] = 301.0
    await asyncio.gather(*(request("claude-haiku-4-5") for _ in range(5)))
    assert ssm.calls == 2
    credentials.clear()
    await request("gpt-4o")
    assert ssm.calls == 3


async def test_a_provider_of_the_environment_asks_ssm_nothing():
    ssm = stored(openai="a")
    credentials = Credentials({"OPENAI_API_KEY": "k"}, Secrets(ssm).read_path, PREFIX)
    assert len(await credentials.accesses(PROVIDERS["openai"])) == 1 and ssm.calls == 0


async def test_a_store_that_is_down_fails_all_who_wait_and_is_asked_again_later():
    ssm = stored(openai="a")
    ssm.fails = 1
    credentials = Credentials({}, Secrets(ssm).read_path, PREFIX)
    asked = [credentials.accesses(PROVIDERS[slug]) for slug in ("openai", "anthropic", "openai")]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(each, StoreUnavailable) for each in outcomes) and ssm.calls == 1
    assert len(await credentials.accesses(PROVIDERS["openai"])) == 1 and ssm.calls == 2


async def test_who_goes_away_does_not_take_the_reading_along():
    ssm = stored(openai="a")
    credentials = Credentials({}, Secrets(ssm).read_path, PREFIX)
    first = asyncio.create_task(credentials.accesses(PROVIDERS["openai"]))
    second = asyncio.create_task(credentials.accesses(PROVIDERS["openai"]))
    await asyncio.sleep(0)
    first.cancel()
    assert len(await second) == 1 and ssm.calls == 1 and first.cancelled()


async def test_more_than_a_page_of_parameters_from_a_real_server(dynamodb: EmbeddedDynamoDB):
    for number in range(23):
        name = f"/headgate/paged/providers/openai/k{number:02d}"
        dynamodb.client("ssm").put_parameter(Name=name, Value=f"sk-{number}\n", Type="SecureString", Overwrite=True)
    client = AwsJson.from_env("ssm", dynamodb.environment(), "us-east-1")
    assert client is not None
    found = await Secrets(client).read_path("/headgate/paged/providers/")
    assert found == {f"openai/k{number:02d}": f"sk-{number}" for number in range(23)}
    client.recreate()
