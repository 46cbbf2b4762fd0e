"""Every function in `sam local`, in the image of the managed runtime, against a local store and simulated providers."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer

from headgate.access.keys import KeyStore
from headgate.storage.aws import Connection
from headgate.storage.schema import TABLES, create_tables
from headgate.storage.table import Table
from tests.deploy.conftest import ARCHITECTURE, Sam
from tests.deploy.rendering import ROOT, load_template

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

REGION = "us-east-1"
TABLE_NAMES = {role: f"{role.capitalize()}Table" for role in TABLES}
"""`sam local` resolves a reference to a resource to its logical name."""


def host_address() -> str:
    """The address under which containers reach this machine."""
    command = ["docker", "network", "inspect", "bridge", "--format", "{{json .IPAM.Config}}"]
    [network, *_] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    address = network.get("Gateway") or str(ipaddress.ip_network(network["Subnet"])[1])
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            pytest.skip("the Docker engine's network is not on this machine")
    return address


def free_port(address: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def wait_for(address: str, port: int, process: subprocess.Popen[str], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        with socket.socket() as probe:
            if probe.connect_ex((address, port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens on {address}:{port}")


@dataclass(frozen=True, slots=True)
class Deployment:
    """A built template whose functions use the local store and the simulated providers, and a key for it."""

    sam: Sam
    template: Path
    key: str

    def arguments(self) -> list[str]:
        return ["--template", str(self.template), "--parameter-overrides", f"Architecture={ARCHITECTURE}"]

    def invoke(self, function: str, event: dict[str, Any]) -> dict[str, Any]:
        """One answer of a function to one event, with the body read as JSON."""
        headers = event["headers"]
        for name, value in (("authorization", f"Bearer {self.key}"), ("x-api-key", self.key)):
            if name in headers:
                headers[name] = value
        path = self.template.with_name("event.json")
        path.write_text(json.dumps(event))
        result = self.sam.run("local", "invoke", function, "--event", str(path), "--skip-pull-image", *self.arguments())
        assert result.returncode == 0, result.stderr
        answer = json.loads(result.stdout.strip().splitlines()[-1])
        assert "statusCode" in answer, result.stdout + result.stderr
        return {**answer, "json": json.loads(answer["body"])}


@pytest.fixture(scope="module")
def deployment(sam: Sam, lambda_image: str, built: Path) -> Iterator[Deployment]:
    assert lambda_image
    address = host_address()
    store = ThreadedMotoServer(ip_address=address, port=0)
    store.start()
    port = free_port(address)
    command = [sys.executable, "-m", "dev.simulated_providers", "--host", address, "--port", str(port)]
    providers = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, text=True)
    try:
        host, store_port = store.get_host_and_port()
        endpoint = f"http://{host}:{store_port}"
        wait_for(address, port, providers)
        yield Deployment(
            sam, local_template(built, endpoint, f"http://{address}:{port}"), asyncio.run(prepare_store(endpoint))
        )
    finally:
        providers.terminate()
        providers.wait()
        store.stop()


def local_template(built: Path, store: str, providers: str) -> Path:
    """The built template with two additions that only a test may make: where the store and the providers are, and an
    HTTP API before one function, because `sam local start-api` does not know function URLs."""
    template = load_template(built / "template.yaml")
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    variables |= {"AWS_ENDPOINT_URL": store, "HEADGATE_SIMULATED_PROVIDERS": providers}
    variables |= {"HEADGATE_SEAL_SECRET_PARAMETER": "/local/seal", "HEADGATE_BLOB_BUCKET": "local-media"}
    api = {"Type": "HttpApi", "Properties": {"Path": "/{proxy+}", "Method": "ANY"}}
    template["Resources"]["ResponsesFunction"]["Properties"]["Events"] = {"Any": api}
    path = built / "local.yaml"
    path.write_text(yaml.safe_dump(template, sort_keys=False))
    return path


async def prepare_store(endpoint: str) -> str:
    """Make tables, bucket, secret and a key; returns the key."""
    options = {"endpoint_url": endpoint, "region_name": REGION}
    options |= {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    client: Any = boto3.client
    create_tables(client("dynamodb", **options), TABLE_NAMES)
    client("s3", **options).create_bucket(Bucket="local-media")
    client("ssm", **options).put_parameter(Name="/local/seal", Type="SecureString", Value="0123456789abcdef" * 4)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
        }.items():
            patch.setenv(name, value)
        keys = KeyStore(Table(Connection("dynamodb", REGION), TABLE_NAMES["control"]))
        key, _ = await keys.create("sam local", "default")
    return key


def load(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "events" / f"{name}.json").read_text())


def test_responses_are_answered_stored_and_read_by_another_process(deployment: Deployment) -> None:
    answer = deployment.invoke("ResponsesFunction", load("responses"))
    assert answer["statusCode"] == 200, answer
    response = answer["json"]
    assert (response["object"], response["status"]) == ("response", "completed")
    assert response["model"] == "openai/gpt-5.4"
    event = load("responses_get")
    assert deployment.invoke("ResponsesFunction", json.loads(json.dumps(event)))["statusCode"] == 404
    event["rawPath"] = event["requestContext"]["http"]["path"] = f"/v1/responses/{response['id']}"
    stored = deployment.invoke("ResponsesFunction", event)
    assert stored["statusCode"] == 200
    assert stored["json"] == response


def test_health_and_models(deployment: Deployment) -> None:
    assert deployment.invoke("ResponsesFunction", load("health"))["json"] == {"status": "healthy"}
    for function in ("ModelsFunction", "MessagesFunction"):
        answer = deployment.invoke(function, load("models"))
        assert answer["statusCode"] == 200
        assert any(model["id"].endswith("gpt-5.4") for model in answer["json"]["data"])


def test_chat_completions(deployment: Deployment) -> None:
    answer = deployment.invoke("ChatCompletionsFunction", load("chat_completions"))
    assert answer["statusCode"] == 200, answer
    assert answer["json"]["object"] == "chat.completion"
    assert answer["json"]["usage"]["total_tokens"] > 0


def test_messages_and_token_counts(deployment: Deployment) -> None:
    answer = deployment.invoke("MessagesFunction", load("messages"))
    assert answer["statusCode"] == 200, answer
    assert (answer["json"]["type"], answer["json"]["role"]) == ("message", "assistant")
    count = deployment.invoke("MessagesFunction", load("count_tokens"))
    assert count["statusCode"] == 200, count
    assert count["json"]["input_tokens"] > 0


def test_an_unknown_key_is_refused(deployment: Deployment) -> None:
    stranger = Deployment(deployment.sam, deployment.template, "sk-hg-v1-" + "0" * 64)
    answer = stranger.invoke("ChatCompletionsFunction", load("chat_completions"))
    assert answer["statusCode"] == 401
    assert answer["json"]["error"]["type"] == "authentication_error"


def test_start_api(deployment: Deployment) -> None:
    port = free_port()
    command = [deployment.sam.program, "local", "start-api", "--port", str(port), "--skip-pull-image"]
    server = subprocess.Popen(
        [*command, *deployment.arguments()],
        cwd=ROOT,
        env=deployment.sam.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        wait_for("127.0.0.1", port, server)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=120) as answer:
            assert json.load(answer)["data"]
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/responses",
            json.dumps({"model": "gpt-5.4", "input": "Say hello"}).encode(),
            {"content-type": "application/json", "authorization": f"Bearer {deployment.key}"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            assert json.load(answer)["status"] == "completed"
    finally:
        server.terminate()
        server.wait(60)
