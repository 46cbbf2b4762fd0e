"""What each function may do, statement by statement."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.storage.call_signatures import PREFIX
from tests.deploy.rendering import load_template, of_type, render

SSM = "arn:aws:ssm:eu-central-1:111122223333:parameter/headgate/headgate"
PROVIDERS = ("ssm:GetParametersByPath", f"{SSM}/providers/*")
GATEWAY = {
    PROVIDERS,
    ("ssm:GetParameter", f"{SSM}/seal"),
    ("dynamodb:GetItem", "ControlTable.Arn"),
    ("dynamodb:PutItem", "LogsTable.Arn"),
    ("dynamodb:PutItem", "StateTable.Arn"),
    ("dynamodb:BatchGetItem", "StateTable.Arn"),
    ("dynamodb:UpdateItem", "StateTable.Arn"),
    *((f"dynamodb:{action}", "MetricsTable.Arn") for action in ("Query", "UpdateItem", "PutItem", "DeleteItem")),
}
CONVERSATIONS = {
    ("dynamodb:Query", "StateTable.Arn"),
    ("dynamodb:PutItem", "StateTable.Arn"),
    ("s3:GetObject", "${BlobBucket.Arn}/media/*"),
    ("s3:PutObject", "${BlobBucket.Arn}/media/*"),
    ("s3:ListBucket", "BlobBucket.Arn"),
}
GRANTS = {
    "ResponsesFunction": GATEWAY
    | CONVERSATIONS
    | {("dynamodb:DeleteItem", "StateTable.Arn"), ("dynamodb:BatchWriteItem", "StateTable.Arn")},
    "ChatCompletionsFunction": GATEWAY,
    "MessagesFunction": GATEWAY | CONVERSATIONS | {("dynamodb:UpdateItem", "StateTable.Arn")},
    "ModelsFunction": {PROVIDERS},
}


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _name(resource: Any) -> str:
    """A resource as one string: an ARN, or what stands for it."""
    if isinstance(resource, str):
        return resource
    [(function, argument)] = resource.items()
    if function == "Fn::GetAtt":
        return ".".join(argument) if isinstance(argument, list) else argument
    assert function == "Fn::Sub", resource
    return argument if isinstance(argument, str) else argument[0]


def statements(rendered: dict[str, Any], function: str) -> list[dict[str, Any]]:
    """Every statement that applies to the function's role."""
    resources = rendered["Resources"]
    reference = resources[function]["Properties"]["Role"]["Fn::GetAtt"]
    role = resources[reference[0]]["Properties"]
    documents = [policy["PolicyDocument"] for policy in role["Policies"]]
    documents += [
        resources[policy["Ref"]]["Properties"]["PolicyDocument"] for policy in role.get("ManagedPolicyArns", [])
    ]
    return [statement for document in documents for statement in document["Statement"]]


@pytest.mark.parametrize("function", GRANTS)
def test_a_function_may_do_what_it_does_and_no_more(function: str) -> None:
    granted: set[tuple[str, str]] = set()
    for statement in statements(render(), function):
        assert statement["Effect"] == "Allow"
        for action in _several(statement["Action"]):
            granted |= {(action, _name(resource)) for resource in _several(statement["Resource"])}
    group = function.replace("Function", "LogGroup.Arn")
    assert granted == GRANTS[function] | {("logs:CreateLogStream", group), ("logs:PutLogEvents", group)}


BEDROCK = "arn:aws:bedrock"
ASKS_BEDROCK = {
    (action, resource)
    for action in ("bedrock:InvokeModelWithResponseStream", "bedrock:CountTokens")
    for resource in (
        f"{BEDROCK}:*::foundation-model/*",
        f"{BEDROCK}:us-west-2:111122223333:inference-profile/*",
        f"{BEDROCK}:us-west-2:111122223333:application-inference-profile/*",
    )
}


def grants(rendered: dict[str, Any], function: str) -> set[tuple[str, str]]:
    return {
        (action, _name(resource))
        for statement in statements(rendered, function)
        for action in _several(statement["Action"])
        for resource in _several(statement["Resource"])
    }


@pytest.mark.parametrize("function", GRANTS)
@pytest.mark.parametrize(
    ("parameters", "inference", "everyone"),
    [
        ({"BedrockRegion": "us-west-2"}, ASKS_BEDROCK, set[tuple[str, str]]()),
        (
            {"CatalogObject": "my-bucket/own/models.json"},
            set(),
            {("s3:GetObject", "arn:aws:s3:::my-bucket/own/models.json")},
        ),
        (
            {"CatalogParameter": "/llm/models"},
            set(),
            {("ssm:GetParameter", "arn:aws:ssm:eu-central-1:111122223333:parameter/llm/models")},
        ),
    ],
    ids=["bedrock", "catalog in S3", "catalog in SSM"],
)
def test_a_switch_grants_what_it_needs_and_no_more(
    function: str, parameters: dict[str, str], inference: set[tuple[str, str]], everyone: set[tuple[str, str]]
) -> None:
    added = grants(render(parameters), function) - grants(render(), function)
    assert added == (everyone if function == "ModelsFunction" else inference | everyone)


def test_a_function_without_conversations_sees_signatures_and_sessions_only() -> None:
    found = statements(render(), "ChatCompletionsFunction")
    own = [each for each in found if _name(_several(each["Resource"])[0]) == "StateTable.Arn"]
    assert [each["Condition"] for each in own] == [
        {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [f"{prefix}*"]}} for prefix in (PREFIX, "session#")
    ]


def test_no_policy_names_everything() -> None:
    rendered = render(
        {
            "EdgeDomain": "true",
            "SecretsKeyArn": "arn:aws:kms:eu-central-1:111122223333:key/abc",
            "BedrockRegion": "us-west-2",
            "CatalogObject": "b/c",
        }
    )
    for function in GRANTS:
        for statement in statements(rendered, function):
            assert not any("*" in action for action in _several(statement["Action"]))
            assert not any(_name(resource) == "*" for resource in _several(statement["Resource"]))


def test_only_lambda_assumes_the_roles() -> None:
    roles = of_type(render(), "AWS::IAM::Role")
    assert len(roles) == len(GRANTS)
    for role in roles.values():
        [statement] = role["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
        assert statement["Action"] == "sts:AssumeRole"


@pytest.mark.parametrize("function", ["ResponsesFunction", "ChatCompletionsFunction", "MessagesFunction"])
def test_secrets_are_read_where_the_environment_says(function: str) -> None:
    for parameters, prefix, seal in (
        ({}, "/headgate/headgate/providers/", "/headgate/headgate/seal"),
        ({"ProviderSecretsPath": "/llm/keys/", "SealSecretName": "/llm/seal"}, "/llm/keys/", "/llm/seal"),
    ):
        rendered = render(parameters)
        variables = rendered["Resources"][function]["Properties"]["Environment"]["Variables"]
        assert variables["HEADGATE_PROVIDER_SECRETS"] == prefix
        assert variables["HEADGATE_SEAL_SECRET_PARAMETER"] == seal
        readable = {
            _name(resource).partition(":parameter")[2]
            for statement in statements(rendered, function)
            if {"ssm:GetParameter", "ssm:GetParametersByPath"} & set(_several(statement["Action"]))
            for resource in _several(statement["Resource"])
        }
        assert readable == {f"{prefix}*", seal}


def test_a_key_of_ones_own_is_usable_through_ssm_only() -> None:
    key = "arn:aws:kms:eu-central-1:111122223333:key/abc"
    for function in GRANTS:
        [statement] = [s for s in statements(render({"SecretsKeyArn": key}), function) if s["Action"] == "kms:Decrypt"]
        assert statement["Resource"] == key
        assert statement["Condition"] == {"StringEquals": {"kms:ViaService": "ssm.eu-central-1.amazonaws.com"}}
        assert not [s for s in statements(render(), function) if s["Action"] == "kms:Decrypt"]


def test_no_parameter_holds_a_secret() -> None:
    parameters = load_template()["Parameters"]
    assert not [name for name, entry in parameters.items() if entry.get("NoEcho")]
    held = {name for name in parameters if "secret" in name.lower() or "key" in name.lower()}
    assert held == {"ProviderSecretsPath", "SealSecretName", "SecretsKeyArn"}
