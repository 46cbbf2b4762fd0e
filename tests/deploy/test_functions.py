"""The functions that a deployment gets: who may call them, how they run, when a new version is published."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from tests.deploy.rendering import ROOT, load_template, of_type, references, render, transform

FUNCTIONS = {
    "ResponsesFunction": "functions/responses",
    "ChatCompletionsFunction": "functions/chat_completions",
    "MessagesFunction": "functions/messages",
    "ModelsFunction": "functions/models",
}


def functions(**parameters: Any) -> dict[str, dict[str, Any]]:
    return of_type(render(parameters), "AWS::Lambda::Function")


def versions(template: dict[str, Any] | None = None, **parameters: Any) -> dict[str, tuple[str, Any]]:
    """Logical id and description of each function's published version."""
    found = of_type(render(parameters, template), "AWS::Lambda::Version")
    return {
        function: next(
            (name, entry["Description"]) for name, entry in found.items() if entry["FunctionName"] == {"Ref": function}
        )
        for function in FUNCTIONS
    }


def test_every_function_has_its_source() -> None:
    resources = load_template()["Resources"]
    sources = {
        name: entry["Properties"]["CodeUri"]
        for name, entry in resources.items()
        if entry["Type"] == "AWS::Serverless::Function"
    }
    assert sources == FUNCTIONS
    assert all((ROOT / source / "app.py").is_file() for source in sources.values())


@pytest.mark.parametrize("function", FUNCTIONS)
def test_both_permissions_of_a_public_url(function: str) -> None:
    rendered = render()
    alias = {"Ref": f"{function}Aliaslive"}
    permissions = [
        entry for entry in of_type(rendered, "AWS::Lambda::Permission").values() if entry["FunctionName"] == alias
    ]
    assert {entry["Action"]: entry for entry in permissions} == {
        "lambda:InvokeFunctionUrl": {
            "Action": "lambda:InvokeFunctionUrl",
            "FunctionName": alias,
            "FunctionUrlAuthType": "NONE",
            "Principal": "*",
        },
        "lambda:InvokeFunction": {
            "Action": "lambda:InvokeFunction",
            "FunctionName": alias,
            "InvokedViaFunctionUrl": True,
            "Principal": "*",
        },
    }
    url = of_type(rendered, "AWS::Lambda::Url")[f"{function}Url"]
    assert url == {"AuthType": "NONE", "InvokeMode": "RESPONSE_STREAM", "TargetFunctionArn": alias}


def test_a_referenced_auth_type_would_lose_the_permissions() -> None:
    """The reason for the literal: if SAM learns to see through a reference, this says so."""
    template = load_template()
    template["Resources"]["ModelsFunction"]["Properties"]["FunctionUrlConfig"]["AuthType"] = {
        "Fn::If": ["Edge", "NONE", "NONE"]
    }
    resources = transform(template)["Resources"]
    assert not [
        name for name in resources if name.startswith("ModelsFunction") and "Permission" in resources[name]["Type"]
    ]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_run_the_streaming_loop(function: str) -> None:
    properties = functions()[function]
    assert properties["Runtime"] == "python3.13"
    assert properties["Handler"] == "app.handler"
    assert properties["Timeout"] == 900
    assert properties["MemorySize"] == 1024
    assert properties["Environment"]["Variables"]["AWS_LAMBDA_EXEC_WRAPPER"] == "/opt/headgate-runtime"
    assert "VpcConfig" not in properties


@pytest.mark.parametrize(
    ("architecture", "layer"), [("arm64", "DependenciesArm64Layer"), ("x86_64", "DependenciesX8664Layer")]
)
def test_compiled_dependencies_fit_the_processor(architecture: str, layer: str) -> None:
    rendered = render({"Architecture": architecture})
    layers = of_type(rendered, "AWS::Lambda::LayerVersion")
    assert sorted(name[:-10] for name in layers) == sorted([layer, "RuntimeLayer", "ProductLayer"])
    for properties in of_type(rendered, "AWS::Lambda::Function").values():
        assert properties["Architectures"] == [architecture]
        used = [entry["Ref"] for entry in properties["Layers"]]
        assert [name[:-10] for name in used] == [layer, "RuntimeLayer", "ProductLayer"]
        assert all(architecture in layers[name]["CompatibleArchitectures"] for name in used)


def test_snapstart_by_parameter() -> None:
    assert {entry["SnapStart"]["ApplyOn"] for entry in functions().values()} == {"None"}
    assert {entry["SnapStart"]["ApplyOn"] for entry in functions(SnapStart="On").values()} == {"PublishedVersions"}


def test_reserved_concurrency_by_parameter() -> None:
    assert not any("ReservedConcurrentExecutions" in entry for entry in functions().values())
    assert {entry["ReservedConcurrentExecutions"] for entry in functions(ReservedConcurrency=20).values()} == {20}


def test_cors_is_off_unless_origins_are_named() -> None:
    assert not any("Cors" in url for url in of_type(render(), "AWS::Lambda::Url").values())
    rendered = render({"CorsAllowOrigins": "https://a.example,https://b.example"})
    for url in of_type(rendered, "AWS::Lambda::Url").values():
        assert url["Cors"]["AllowOrigins"] == ["https://a.example", "https://b.example"]
        assert "authorization" in url["Cors"]["AllowHeaders"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_log_groups_are_kept_for_a_limited_time(function: str) -> None:
    rendered = render({"LogRetentionDays": 90})
    config = rendered["Resources"][function]["Properties"]["LoggingConfig"]
    assert config["LogFormat"] == "Text"  # with JSON Lambda imposes one level on every logger, the HTTP libraries too
    group = rendered["Resources"][config["LogGroup"]["Ref"]]
    assert group["Properties"]["RetentionInDays"] == 90


def test_a_changed_parameter_publishes_a_new_version() -> None:
    """The URLs serve the alias. The version's logical id does not depend on parameters, so its description must hold
    every parameter that the function depends on, or a new value would not take effect; itself or through a layer, whose
    version number it holds and whose description makes a new version of it. It must hold no other one: Lambda refuses
    to publish a version without a change."""
    template = load_template()
    shared = template["Globals"]["Function"]
    not_in_a_version = {"ReservedConcurrentExecutions"}
    configuration = {name: value for name, value in shared.items() if name not in not_in_a_version}
    expected = references(configuration) & set(template["Parameters"])
    for condition in ("Snapshots", "Edge"):
        expected |= references(template["Conditions"][condition])
    for name in FUNCTIONS:
        named = references(template["Resources"][name]["Properties"]["VersionDescription"])
        for layer in [each for each in named if each.endswith("Layer")]:
            named |= references(template["Resources"][layer]["Properties"]["Description"])
        assert named & set(template["Parameters"]) == expected


def test_the_layers_of_both_processors_describe_the_same() -> None:
    resources = load_template()["Resources"]
    descriptions = [resources[f"Dependencies{name}Layer"]["Properties"]["Description"] for name in ("Arm64", "X8664")]
    assert descriptions[0] == descriptions[1]


@pytest.mark.parametrize("layer", ["DependenciesArm64Layer", "RuntimeLayer", "ProductLayer"])
def test_a_changed_layer_publishes_a_new_version(layer: str) -> None:
    template = load_template()
    changed = deepcopy(template)
    changed["Resources"][layer]["Properties"]["ContentUri"] = "s3://artifacts/another"
    before, after = versions(template), versions(changed)
    assert all(before[name] != after[name] for name in FUNCTIONS)
    assert all(
        references(after[name][1]) & set(of_type(render(template=changed), "AWS::Lambda::LayerVersion"))
        for name in FUNCTIONS
    )


def test_a_version_description_fits() -> None:
    path = "/" + "p" * 62 + "/"
    parameters: dict[str, Any] = {
        "ProviderSecretsPath": path,
        "SealSecretName": path[:-1] + "s",
        "Architecture": "x86_64",
        "SnapStart": "On",
    }
    parameters |= {"EdgeDomain": "true", "LogLevel": "WARNING", "MemorySize": 10240}
    parameters |= {"StateRetentionDays": 3650, "RequestLogRetentionDays": 3650}
    parameters |= {"BedrockRegion": "ap-southeast-2", "BedrockProfile": "geographic"}
    parameters |= {"Providers": "p" * 100, "ZdrProviders": "z" * 100, "CatalogObject": "c" * 128}
    parameters |= {"VertexProject": "v" * 30, "VertexLocation": "l" * 24}
    parameters |= {"AzureResource": "a" * 64, "CloudflareAccount": "0" * 32}
    for layer in of_type(render(parameters), "AWS::Lambda::LayerVersion").values():
        assert isinstance(layer["Description"], str) and len(layer["Description"]) <= 256
    for _, description in versions(None, **parameters).values():
        text = description["Fn::Sub"][0].replace("${Layers}", "99999.99999.99999")
        assert "${" not in text
        assert len(text) <= 256  # Lambda's limit
