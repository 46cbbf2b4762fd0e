"""`sam build` without a container: what it puts into the layers, and that it runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.conftest import ARCHITECTURE, Sam
from tests.deploy.test_dependencies import build

pytestmark = pytest.mark.timeout(900)

LAYERS = {"DependenciesArm64Layer": 0xB7, "DependenciesX8664Layer": 0x3E}
"""The machine number in the ELF header of each layer's compiled modules."""


def test_validate(sam: Sam) -> None:
    result = sam.run("validate", "--lint")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("layer", "machine"), LAYERS.items())
def test_compiled_modules_are_for_the_layers_processor(built: Path, layer: str, machine: int) -> None:
    modules = list((built / layer / "python").rglob("*.so"))
    assert any("pydantic_core" in str(path) for path in modules)
    for path in modules:
        header = path.read_bytes()[:20]
        assert header[:4] == b"\x7fELF"
        assert int.from_bytes(header[18:20], "little") == machine
        assert f"cpython-{build.RUNTIME_VERSION.replace('.', '')}" in path.name or ".abi3." in path.name


def test_layers_stay_small(built: Path) -> None:
    for architecture_layer in LAYERS:
        layers = (architecture_layer, "RuntimeLayer", "ProductLayer")
        size = sum(path.stat().st_size for layer in layers for path in (built / layer).rglob("*") if path.is_file())
        # Lambda's limit is 250 MB. cryptography, for Google's service accounts, is 15 of these.
        assert size < 52_000_000


def test_what_lambda_starts_is_there(built: Path) -> None:
    wrapper = built / "RuntimeLayer" / "headgate-runtime"
    assert wrapper.stat().st_mode & 0o111 == 0o111
    assert (built / "RuntimeLayer/python/headgate_runtime/__main__.py").is_file()
    assert (built / "ProductLayer/python/headgate/catalog/catalog.json").is_file()
    for function in ("Responses", "ChatCompletions", "Messages", "Models"):
        assert (built / f"{function}Function" / "app.py").is_file()


def test_everything_is_compiled_where_the_runtimes_python_is_at_hand(built: Path) -> None:
    sources = set(built.rglob("*.py"))
    tag = f"cpython-{build.RUNTIME_VERSION.replace('.', '')}"
    compiled = {path.parent.parent / path.name.replace(f".{tag}.pyc", ".py") for path in built.rglob(f"*.{tag}.pyc")}
    assert len(sources) > 500
    assert compiled == (sources if build.find_runtime_python() else set())


@pytest.mark.skipif(sys.platform != "linux", reason="the layers' compiled modules are for Linux")
def test_the_locked_packages_work_as_shipped(built: Path) -> None:
    python = build.find_runtime_python()
    if python is None:
        pytest.skip(f"no Python {build.RUNTIME_VERSION} here")
    layer = "DependenciesArm64Layer" if ARCHITECTURE == "arm64" else "DependenciesX8664Layer"
    paths = [built / layer / "python", built / "RuntimeLayer/python", built / "ProductLayer/python"]
    # -S: nothing that happens to be installed may help. The regions are of three partitions.
    code = """
import sys
import boto3, fastapi, httpx, mangum, pydantic, headgate
from aws_lambda_powertools import Logger, Metrics
assert boto3.__file__.startswith(sys.argv[1]), boto3.__file__
for region, suffix in (("eu-central-1", "com"), ("cn-north-1", "com.cn"), ("us-gov-west-1", "com")):
    for service in ("dynamodb", "s3", "ssm", "sts"):
        client = boto3.client(service, region_name=region, aws_access_key_id="a", aws_secret_access_key="b")
        assert client.meta.endpoint_url == f"https://{service}.{region}.amazonaws.{suffix}", client.meta.endpoint_url
print("works")
"""
    environment = {"PYTHONPATH": ":".join(map(str, paths)), "PATH": "/usr/bin:/bin"}
    command = [python, "-S", "-B", "-c", code, str(built)]
    result = subprocess.run(command, env=environment, cwd=built, capture_output=True, text=True)
    assert result.stdout.strip() == "works", result.stderr
