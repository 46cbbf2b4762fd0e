"""Tables, the bucket, the optional common domain, outputs; and that nothing costs anything while idle."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from headgate.storage import schema
from tests.deploy.rendering import ROOT, of_type, references, render, walk

TABLES = {"StateTable": True, "LogsTable": True, "ControlTable": False, "MetricsTable": True}
"""Whether rows expire; what does not is protected instead."""

FREE_WHEN_IDLE = {
    "AWS::DynamoDB::Table",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Role",
    "AWS::Lambda::Alias",
    "AWS::Lambda::Function",
    "AWS::Lambda::LayerVersion",
    "AWS::Lambda::Permission",
    "AWS::Lambda::Url",
    "AWS::Lambda::Version",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
}
EDGE_ONLY = {"AWS::CloudFront::Distribution", "AWS::SecretsManager::Secret"}


def kinds(rendered: dict[str, Any]) -> set[str]:
    return {entry["Type"] for entry in rendered["Resources"].values()}


def test_the_template_is_clean() -> None:
    lint = Path(sys.executable).with_name("cfn-lint")
    command = [str(lint), "--regions", "us-east-1", "eu-central-1", "--", str(ROOT / "template.yaml")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_nothing_costs_anything_while_idle() -> None:
    assert kinds(render()) == FREE_WHEN_IDLE
    assert not [part for part in walk(render()) if isinstance(part, dict) and "ProvisionedConcurrencyConfig" in part]


@pytest.mark.parametrize(("table", "expires"), TABLES.items())
def test_tables(table: str, expires: bool) -> None:
    rendered = render()
    entry = rendered["Resources"][table]
    properties = entry["Properties"]
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert properties["SSESpecification"] == {"SSEEnabled": True}
    assert properties["KeySchema"] == [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ]
    assert {a["AttributeName"]: a["AttributeType"] for a in properties["AttributeDefinitions"]} == {
        "pk": "S",
        "sk": "S",
    }
    ttl = {"AttributeName": "expires_at", "Enabled": True}
    assert properties.get("TimeToLiveSpecification") == (ttl if expires else None)
    assert properties.get("DeletionProtectionEnabled", False) is not expires
    assert ("PointInTimeRecoverySpecification" in properties) is not expires
    assert (entry["DeletionPolicy"], entry["UpdateReplacePolicy"]) == (("Delete",) * 2 if expires else ("Retain",) * 2)


def test_tables_are_those_that_the_code_expects() -> None:
    resources = render()["Resources"]
    for role, definition in schema.TABLES.items():
        properties = resources[f"{role.capitalize()}Table"]["Properties"]
        expected = definition.create_parameters("name")
        assert {name: properties[name] for name in expected if name != "TableName"} == {
            name: value for name, value in expected.items() if name != "TableName"
        }
        assert ("TimeToLiveSpecification" in properties) is definition.ttl
        assert properties.get("DeletionProtectionEnabled", False) is definition.protected
    assert len(schema.TABLES) == len(of_type(render(), "AWS::DynamoDB::Table"))


def test_functions_know_the_tables_and_the_bucket() -> None:
    rendered = render({"StateRetentionDays": 7, "RequestLogRetentionDays": 90, "LogLevel": "DEBUG"})
    for function in of_type(rendered, "AWS::Lambda::Function").values():
        variables = function["Environment"]["Variables"]
        for role in ("STATE", "LOGS", "CONTROL", "METRICS"):
            assert variables[f"HEADGATE_{role}_TABLE"] == {"Ref": f"{role.capitalize()}Table"}
        assert variables["HEADGATE_BLOB_BUCKET"] == {"Ref": "BlobBucket"}
        assert variables["HEADGATE_STATE_TTL_DAYS"] == 7
        assert variables["HEADGATE_LOG_TTL_DAYS"] == 90
        assert variables["HEADGATE_LOG_LEVEL"] == "DEBUG"


def test_the_bucket_is_private_encrypted_and_forgets_with_the_state() -> None:
    rendered = render({"StateRetentionDays": 7})
    bucket = rendered["Resources"]["BlobBucket"]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    [encryption] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    [rule] = bucket["LifecycleConfiguration"]["Rules"]
    assert (rule["Status"], rule["ExpirationInDays"]) == ("Enabled", 7)
    policy = rendered["Resources"]["BlobBucketPolicy"]["Properties"]
    [statement] = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_no_common_domain_by_default() -> None:
    rendered = render()
    assert not kinds(rendered) & EDGE_ONLY
    for function in of_type(rendered, "AWS::Lambda::Function").values():
        assert "HEADGATE_ORIGIN_SECRET" not in function["Environment"]["Variables"]
    assert not [name for name in rendered["Outputs"] if name.startswith("Edge")]


def test_the_common_domain_reaches_every_function() -> None:
    rendered = render({"EdgeDomain": "true"})
    config = rendered["Resources"]["EdgeDistribution"]["Properties"]["DistributionConfig"]
    assert config["HttpVersion"] == "http2and3"
    assert "Aliases" not in config
    secret = {"Fn::Sub": "{{resolve:secretsmanager:${OriginSecret}}}"}
    origins = {}
    for origin in config["Origins"]:
        [url] = references(origin["DomainName"])
        origins[origin["Id"]] = url
        assert origin["OriginCustomHeaders"] == [{"HeaderName": "x-headgate-origin", "HeaderValue": secret}]
        assert origin["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"
        assert origin["CustomOriginConfig"]["OriginReadTimeout"] == 60
    assert set(origins.values()) == set(of_type(rendered, "AWS::Lambda::Url"))
    behaviours = [config["DefaultCacheBehavior"], *config["CacheBehaviors"]]
    assert {entry.get("PathPattern"): origins[entry["TargetOriginId"]] for entry in behaviours} == {
        None: "ModelsFunctionUrl",
        "/v1/responses*": "ResponsesFunctionUrl",
        "/v1/routes/*": "ResponsesFunctionUrl",
        "/v1/chat/completions*": "ChatCompletionsFunctionUrl",
        "/v1/messages*": "MessagesFunctionUrl",
    }
    for entry in behaviours:
        assert entry["Compress"] is False  # a compressor would hold small frames of a stream back
        assert entry["ViewerProtocolPolicy"] == "https-only"
        assert entry["CachePolicyId"] == "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"  # AWS's CachingDisabled
        assert entry["OriginRequestPolicyId"] == "b689b0a8-53d0-40ab-baf2-68738e2966ac"  # AllViewerExceptHostHeader
        assert {"POST", "DELETE", "GET", "OPTIONS"} <= set(entry["AllowedMethods"])
    for function in of_type(rendered, "AWS::Lambda::Function").values():
        assert function["Environment"]["Variables"]["HEADGATE_ORIGIN_SECRET"] == secret


@pytest.mark.parametrize(
    ("path", "function"),
    [
        ("/v1/providers", "Models"),
        ("/v1/models", "Models"),
        ("/v1/models/providers/bedrock/models", "Models"),
        ("/v1/models/anthropic/claude-sonnet-4-6/providers/vertex", "Models"),
        ("/v1/models/authors/mistral", "Models"),
        ("/providers/bedrock", "Models"),
        ("/v1/responses/input_tokens", "Responses"),
        ("/v1/responses/resp_1", "Responses"),
        ("/v1/messages/count_tokens", "Messages"),
        ("/v1/chat/completions", "ChatCompletions"),
    ],
)
def test_the_common_domain_leads_each_path_to_its_function(path: str, function: str) -> None:
    config = render({"EdgeDomain": "true"})["Resources"]["EdgeDistribution"]["Properties"]["DistributionConfig"]
    behaviours = config["CacheBehaviors"]
    found = next(
        (each for each in behaviours if fnmatchcase(path, each["PathPattern"])), config["DefaultCacheBehavior"]
    )
    (origin,) = [each for each in config["Origins"] if each["Id"] == found["TargetOriginId"]]
    assert references(origin["DomainName"]) == {f"{function}FunctionUrl"}


def test_the_common_domain_may_have_a_name_of_its_own() -> None:
    certificate = "arn:aws:acm:us-east-1:111122223333:certificate/abc"
    rendered = render({"EdgeDomain": "true", "EdgeAlias": "llm.example.com", "EdgeCertificateArn": certificate})
    config = rendered["Resources"]["EdgeDistribution"]["Properties"]["DistributionConfig"]
    assert config["Aliases"] == ["llm.example.com"]
    assert config["ViewerCertificate"]["AcmCertificateArn"] == certificate
    assert rendered["Outputs"]["EdgeBaseUrl"]["Value"] == "https://llm.example.com"


def test_outputs_name_each_address_with_a_line_to_try_it() -> None:
    outputs = render({"EdgeDomain": "true"})["Outputs"]
    lines = {name: entry["Value"] for name, entry in outputs.items() if name.endswith("Curl")}
    for name, line in lines.items():
        words = shlex.split(line["Fn::Sub"] if isinstance(line["Fn::Sub"], str) else line["Fn::Sub"][0])
        assert words[0] == "curl", name
        assert any(re.search(r"[/}]v1/(responses|chat/completions|messages|models)$", word) for word in words), name
    reached = set().union(*(references(entry["Value"]) for entry in outputs.values()))
    assert {"ResponsesFunctionUrl", "ChatCompletionsFunctionUrl", "MessagesFunctionUrl", "ModelsFunctionUrl"} <= reached
    assert set(TABLES) <= reached
    assert len(lines) == 5
