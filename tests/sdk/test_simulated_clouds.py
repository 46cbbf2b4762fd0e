"""The simulated cloud platforms, judged by the vendors' own software: Anthropic's clients for Vertex AI and Azure,
OpenAI's for Azure and for Vertex AI's compatible endpoint, Google's in its cloud mode, and AWS's signatures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import anthropic
import boto3
import httpx
import openai
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from google import genai
from google.genai import types
from google.oauth2.credentials import Credentials as GoogleCredentials

from dev.simulated_providers import Running, serve

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CLAUDE = "claude-haiku-4-5@20251001"
PLAIN = "anthropic.claude-haiku-4-5-20251001-v1:0"


@pytest.fixture(scope="module")
def vendors() -> Iterator[Running]:
    with serve() as running:
        yield running


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def claudes(vendors: Running) -> dict[str, tuple[Any, str]]:
    """Anthropic's clients of the platforms, each with a model's name there."""
    vertex = anthropic.AnthropicVertex(
        region="us-east5",
        project_id="p",
        access_token="ya29.t",
        base_url=f"{vendors.url}/vertex/v1",
        max_retries=0,
    )
    azure = anthropic.AnthropicFoundry(api_key="k", base_url=f"{vendors.url}/azure/anthropic", max_retries=0)
    entra = anthropic.AnthropicFoundry(
        azure_ad_token_provider=lambda: "entra", base_url=f"{vendors.url}/azure/anthropic", max_retries=0
    )
    return {"vertex": (vertex, CLAUDE), "azure": (azure, "claude-haiku-4-5"), "entra": (entra, "claude-haiku-4-5")}


@pytest.mark.parametrize("name", ["vertex", "azure", "entra"])
def test_anthropics_own_clients(claudes: dict[str, tuple[Any, str]], name: str):
    client, model = claudes[name]
    whole = client.messages.create(model=model, max_tokens=100, messages=said("Hello"))
    assert whole.content[0].text == "You said: Hello." and whole.model == "claude-haiku-4-5-20251001"
    assert whole.id.startswith("msg_vrtx_01" if name == "vertex" else "msg_01")
    with client.messages.stream(model=model, max_tokens=100, messages=said("Hello")) as stream:
        assert stream.get_final_message().content[0].text == "You said: Hello."
    tools = [{"name": "look", "input_schema": SCHEMA}]
    called = client.messages.create(
        model=model, max_tokens=100, messages=said("look"), tools=tools, tool_choice={"type": "any"}
    )
    assert called.content[0].name == "look" and called.stop_reason == "tool_use"
    counted = client.messages.count_tokens(model=model, messages=said("Hello"), system="Be brief.", tools=tools)
    assert counted.input_tokens > 3


def test_anthropics_clients_see_each_platforms_refusals(claudes: dict[str, tuple[Any, str]]):
    vertex, model = claudes["vertex"]
    ask = {"max_tokens": 10, "messages": said("x")}
    with pytest.raises(anthropic.NotFoundError) as missing:
        vertex.messages.create(model="claude-haiku-4-5-20251001", **ask)
    assert missing.value.body["error"]["status"] == "NOT_FOUND"
    with pytest.raises(anthropic.BadRequestError, match=r"Unexpected value\(s\) `oauth-2025-04-20`"):
        vertex.messages.create(model=model, extra_headers={"anthropic-beta": "oauth-2025-04-20"}, **ask)
    with pytest.raises(anthropic.RateLimitError) as limited:
        vertex.messages.create(model=model, max_tokens=10, messages=said("[[fail:429 message=Quota exceeded]]"))
    assert limited.value.body["error"]["status"] == "RESOURCE_EXHAUSTED"
    azure, model = claudes["azure"]
    with pytest.raises(anthropic.NotFoundError, match="DeploymentNotFound"):
        azure.messages.create(model="claude-does-not-exist", **ask)


@pytest.fixture(scope="module")
def azure(vendors: Running) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{vendors.url}/azure/openai/v1/", api_key="unused", default_headers={"api-key": "k"}, max_retries=0
    )


def test_openais_client_reads_azure(azure: openai.OpenAI):
    stream = azure.chat.completions.create(
        model="team-gpt-5-mini", messages=said("Hello"), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[0].choices == [] and chunks[0].model_extra and "prompt_filter_results" in chunks[0].model_extra
    told = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert told == "You said: Hello." and chunks[-1].usage is not None
    whole = azure.chat.completions.create(model="gpt-4o", messages=said("Hello"))
    assert whole.choices[0].model_extra and whole.choices[0].model_extra["content_filter_results"]
    response = azure.responses.create(model="gpt-5-mini", input="Hello", reasoning={"effort": "low"})
    assert response.output_text == "You said: Hello."
    with azure.responses.stream(model="gpt-5-mini", input="Hello") as events:
        for _ in events:
            pass
        assert events.get_final_response().output_text == "You said: Hello."


def test_openais_client_sees_azures_refusals(azure: openai.OpenAI):
    with pytest.raises(openai.BadRequestError) as filtered:
        azure.chat.completions.create(model="gpt-4o", messages=said("[[fail:400 code=content_filter]]"))
    error: Any = filtered.value.body
    assert error["code"] == "content_filter" and error["innererror"]["code"] == "ResponsibleAIPolicyViolation"
    with pytest.raises(openai.NotFoundError) as missing:
        azure.responses.create(model="does-not-exist", input="x")
    assert missing.value.code == "DeploymentNotFound"
    with pytest.raises(openai.BadRequestError, match="max_completion_tokens"):
        azure.chat.completions.create(model="gpt-5-mini", messages=said("x"), max_tokens=5)
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=azure.base_url, api_key="invalid").responses.create(model="gpt-4o", input="x")


def test_openais_client_reads_vertex_partner_models(vendors: Running):
    base = f"{vendors.url}/vertex/v1/projects/p/locations/us-east5/endpoints/openapi"
    client = openai.OpenAI(base_url=base, api_key="ya29.t", max_retries=0)
    model = "meta/llama-4-maverick-17b-128e-instruct-maas"
    whole = client.chat.completions.create(model=model, messages=said("Hello"), max_tokens=50)
    assert whole.choices[0].message.content == "You said: Hello." and whole.model == model
    thinker = client.chat.completions.create(model="moonshotai/kimi-k2-thinking-maas", messages=said("[[think:Hm.]]"))
    assert (
        thinker.choices[0].message.model_extra and thinker.choices[0].message.model_extra["reasoning_content"] == "Hm."
    )
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="llama", messages=said("Hello"))
    assert "list" in str(type(missing.value.body)), "Google answers with a list of one"


def test_googles_client_counts_in_both_modes(vendors: Running):
    config = types.CountTokensConfig(system_instruction="Be brief.")
    options = types.HttpOptions(base_url=f"{vendors.url}/vertex")
    cloud = genai.Client(
        vertexai=True, project="p", location="global", credentials=GoogleCredentials("ya29.t"), http_options=options
    )
    bare = cloud.models.count_tokens(model="gemini-2.5-flash", contents="Hello").total_tokens
    with_system = cloud.models.count_tokens(model="gemini-2.5-flash", contents="Hello", config=config).total_tokens
    assert bare and with_system and with_system > bare
    plain = genai.Client(api_key="AIza", http_options=options)
    assert plain.models.count_tokens(model="gemini-2.5-flash", contents="Hello").total_tokens == bare


def bedrock(vendors: Running, region: str = "us-east-1", secret: str = "secret") -> Any:
    return boto3.client(
        "bedrock-runtime",
        region_name=region,
        endpoint_url=f"{vendors.url}/bedrock",
        aws_access_key_id="AKIDTEST",
        aws_secret_access_key=secret,
        aws_session_token="session",
        config=Config(retries={"total_max_attempts": 1}),
    )


ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc-1"
BLOCKS: list[Any] = [{"role": "user", "content": [{"text": "Hello"}]}]


@pytest.mark.parametrize(
    ("region", "model"),
    [
        ("us-east-1", f"us.{PLAIN}"),
        ("us-east-1", f"global.{PLAIN}"),
        ("us-east-1", ARN),
        ("eu-central-1", f"eu.{PLAIN}"),
        ("ap-southeast-2", f"au.{PLAIN}"),
        ("ap-northeast-1", "jp.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("ap-south-1", "apac.amazon.nova-lite-v1:0"),
        ("us-east-1", "amazon.nova-lite-v1:0"),
    ],
)
def test_aws_signatures_are_accepted(vendors: Running, region: str, model: str):
    client = bedrock(vendors, region)
    answer = client.converse(modelId=model, messages=BLOCKS)
    assert answer["output"]["message"]["content"][0]["text"] == "You said: Hello."
    events = list(client.converse_stream(modelId=model, messages=BLOCKS)["stream"])
    assert any("messageStop" in event for event in events)


def test_bedrock_refuses_other_signatures_and_other_regions(vendors: Running):
    with pytest.raises(ClientError, match="does not match the signature"):
        bedrock(vendors, secret="another").converse(modelId=f"us.{PLAIN}", messages=BLOCKS)
    for region, model in (("us-east-1", f"eu.{PLAIN}"), ("eu-west-1", ARN), ("us-gov-west-1", f"global.{PLAIN}")):
        with pytest.raises(ClientError, match="model identifier is invalid"):
            bedrock(vendors, region).converse(modelId=model, messages=BLOCKS)
    with pytest.raises(ClientError, match=r"on-demand throughput isn.t supported"):
        bedrock(vendors).converse(modelId=PLAIN, messages=BLOCKS)
    body = json.dumps({"messages": BLOCKS}).encode()
    url = f"{vendors.url}/bedrock/model/{quote(f'us.{PLAIN}', safe='')}/converse"
    request = AWSRequest("POST", url, data=body, headers={"content-type": "application/json"})
    SigV4Auth(Credentials("AKIDTEST", "secret"), "bedrock", "us-east-1").add_auth(request)
    signed = dict(request.headers.items())
    assert httpx.post(url, content=body, headers=signed).status_code == 200
    changed = [
        (url, body.replace(b"Hello", b"Adieu"), signed),
        (url.replace("haiku", "sonnet"), body, signed),
        (url, body, {**signed, "X-Amz-Date": "20200101T000000Z"}),
        (url, body, {**signed, "x-amz-security-token": "not signed"}),
        (url, body, {**signed, "Authorization": signed["Authorization"].replace("/us-east-1/", "/us-west-2/")}),
        (url, body, {**signed, "Authorization": signed["Authorization"].replace("/bedrock/", "/s3/")}),
    ]
    for address, content, headers in changed:
        refused = httpx.post(address, content=content, headers=headers)
        assert refused.status_code == 403, headers
        assert refused.headers["x-amzn-errortype"].startswith("InvalidSignatureException")


def test_boto3_counts_tokens_for_claude_itself(vendors: Running):
    client = bedrock(vendors)
    counted = client.count_tokens(modelId=PLAIN, input={"converse": {"messages": BLOCKS, "system": [{"text": "x"}]}})
    assert counted["inputTokens"] > 3
    for model in (f"us.{PLAIN}", "amazon.nova-lite-v1:0"):
        with pytest.raises(ClientError, match="doesn't support counting tokens"):
            client.count_tokens(modelId=model, input={"converse": {"messages": BLOCKS}})
