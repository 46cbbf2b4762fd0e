"""The template's parameters for the providers, and the gateway that they configure."""

from __future__ import annotations

from headgate.providers.auth import Credentials
from headgate.providers.rows import PROVIDERS
from headgate.settings import Settings
from tests.deploy.rendering import of_type, render
from tests.token_server import service_account, token_server

PROVIDER_VARIABLES = (
    "HEADGATE_PROVIDERS",
    "HEADGATE_BEDROCK_REGION",
    "HEADGATE_BEDROCK_PROFILE",
    "HEADGATE_VERTEX_PROJECT",
    "HEADGATE_VERTEX_LOCATION",
    "HEADGATE_AZURE_RESOURCE",
    "HEADGATE_CLOUDFLARE_ACCOUNT",
    "HEADGATE_ZDR_PROVIDERS",
    "HEADGATE_CATALOG",
)


def test_providers_are_configured_by_parameters() -> None:
    parameters = {
        "Providers": "bedrock,vertex",
        "BedrockRegion": "us-west-2",
        "BedrockProfile": "geographic",
        "VertexProject": "my-project",
        "VertexLocation": "eu",
        "AzureResource": "my-resource",
        "CloudflareAccount": "0" * 32,
        "ZdrProviders": "bedrock",
        "CatalogParameter": "/llm/models",
    }
    for function in of_type(render(parameters), "AWS::Lambda::Function").values():
        variables = function["Environment"]["Variables"]
        assert {name: variables[name] for name in PROVIDER_VARIABLES} == dict(
            zip(PROVIDER_VARIABLES, [*list(parameters.values())[:-1], "ssm:/llm/models"], strict=True)
        )
    for function in of_type(render({"CatalogObject": "b/own.json"}), "AWS::Lambda::Function").values():
        assert function["Environment"]["Variables"]["HEADGATE_CATALOG"] == "s3://b/own.json"
    for function in of_type(render(), "AWS::Lambda::Function").values():
        assert "HEADGATE_CATALOG" not in function["Environment"]["Variables"]


async def test_the_default_parameters_configure_no_provider() -> None:
    """An empty variable counts as none: without keys nothing can be reached, and nothing is refused as malformed."""
    (function, *_) = of_type(render(), "AWS::Lambda::Function").values()
    variables = {name: value for name, value in function["Environment"]["Variables"].items() if isinstance(value, str)}
    Settings.from_env(variables)
    for row in PROVIDERS.values():
        assert await Credentials(variables).access(row) is None


async def test_bedrock_and_vertex_are_reached_as_the_parameters_say() -> None:
    parameters = {"BedrockRegion": "eu-west-1", "BedrockProfile": "geographic", "VertexLocation": "eu"}
    (function, *_) = of_type(render(parameters), "AWS::Lambda::Function").values()
    variables = {name: value for name, value in function["Environment"]["Variables"].items() if isinstance(value, str)}
    bedrock = await Credentials({**variables, "AWS_REGION": "us-east-1"}).access(PROVIDERS["bedrock"])
    assert bedrock and bedrock.base_url == "https://bedrock-runtime.eu-west-1.amazonaws.com"
    assert bedrock.profile == "geographic" and bedrock.authorize is not None
    with token_server({"access_token": "t", "expires_in": 3600}) as (address, _):
        account = {"HEADGATE_VERTEX_API_KEY": service_account(address)}
        vertex = await Credentials({**variables, **account}).access(PROVIDERS["vertex"])
    assert vertex and vertex.base_url == "https://aiplatform.eu.rep.googleapis.com"
