"""The locks: complete, hashed, the same for what is tested and what is deployed; and the build's own steps."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from tests.deploy.rendering import ROOT
from tests.token_server import token_server

LAYER, RUN, TEST = "layers/dependencies/requirements.txt", "requirements/run.txt", "requirements/test.txt"
SAM_CLI = "requirements/sam-cli.txt"


def _load_build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("layers_build", ROOT / "layers" / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = _load_build()


def entries(lock: str) -> list[str]:
    """Each requirement of a lock file with its hashes, on one line."""
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]


def pins(lock: str) -> set[str]:
    return {re.split(r"[ ;]", entry, maxsplit=1)[0] for entry in entries(lock)}


@pytest.mark.parametrize("lock", [LAYER, RUN, TEST])
def test_every_requirement_is_pinned_and_hashed(lock: str) -> None:
    found = entries(lock)
    assert len(found) > 20
    for entry in found:
        assert re.match(r"[a-z0-9-]+(\[[a-z0-9,-]+\])?==[^ ]+ ", entry), entry
        assert "--hash=sha256:" in entry, entry
        assert "://" not in entry and "--index" not in entry, entry


def test_what_is_tested_is_what_is_deployed() -> None:
    assert pins(LAYER) <= pins(RUN) <= pins(TEST)


def test_the_layer_lists_the_products_dependencies() -> None:
    lines = (ROOT / "layers/dependencies/requirements.in").read_text().splitlines()
    wanted = {line for line in lines if line and not line.startswith("#")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert wanted == set(project["dependencies"])


def test_the_layer_needs_no_markers() -> None:
    """pip would evaluate them for the Python that builds, not for the one that the layer is built for."""
    assert not [entry for entry in entries(LAYER) if ";" in entry]


def test_what_only_an_installer_reads_is_left_out(tmp_path: Path) -> None:
    keep = ["pkg/__init__.py", "pkg/testing.py", "pkg-1.dist-info/METADATA", "pkg-1.dist-info/entry_points.txt"]
    drop = ["pkg/tests/test_a.py", "pkg/a.pyi", "pkg-1.dist-info/RECORD", "bin/tool", "pkg/__pycache__/a.pyc"]
    for name in keep + drop:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    build.prune_packages(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == set(keep)


def test_a_package_is_left_out_with_its_description(tmp_path: Path) -> None:
    for name in ("pyasn1", "pyasn1-1.dist-info", "pyasn1_modules", "pyasn1_modules-1.dist-info", "google"):
        (tmp_path / name).mkdir()
    build.drop_packages(tmp_path, ["pyasn1"])
    assert {path.name for path in tmp_path.iterdir()} == {"pyasn1_modules", "pyasn1_modules-1.dist-info", "google"}
    with pytest.raises(build.BuildError, match="no pyasn1 to leave out"):
        build.drop_packages(tmp_path, ["pyasn1"])


def test_a_google_token_is_had_with_what_the_layer_has() -> None:
    """google-auth's own transports need more, which the test environment has for other reasons."""
    absent = {*build.UNUSED, "packaging", "requests", "aiohttp"}
    assert not {entry for entry in pins(LAYER) for name in absent - set(build.UNUSED) if entry.startswith(f"{name}==")}
    code = f"""
import asyncio, sys
sys.modules.update(dict.fromkeys({sorted(absent)!r}))
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
import google.auth.aws
key = rsa.generate_private_key(65537, 2048)
form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
info = dict(private_key=key.private_bytes(*form).decode(), client_email="a@b.example", token_uri=sys.argv[1])
from headgate.providers.auth_tokens import google
print(asyncio.run(google(info | dict(type="service_account"))("", b"")))
"""
    with token_server({"access_token": "ya29.t", "expires_in": 3600, "token_type": "Bearer"}) as (address, forms):
        command = [sys.executable, "-c", code, address]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "shared")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("{'authorization': 'Bearer ya29.t'}", "")
    assert len(forms) == 1 and "assertion=" in forms[0]


def test_botocore_keeps_the_services_that_are_called(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for service in ("dynamodb", "s3", "ec2"):
        (data / service).mkdir(parents=True)
    endpoints = {"partitions": [{"partition": "aws", "services": {"dynamodb": {"a": 1}, "ec2": {}}}], "version": 3}
    (data / "endpoints.json").write_text(json.dumps(endpoints))
    build.prune_botocore(tmp_path, ("dynamodb", "s3"))
    assert {path.name for path in data.iterdir()} == {"dynamodb", "s3", "endpoints.json"}
    [partition] = json.loads((data / "endpoints.json").read_text())["partitions"]
    assert partition == {"partition": "aws", "services": {"dynamodb": {"a": 1}}}
    with pytest.raises(build.BuildError, match="no model of ssm"):
        build.prune_botocore(tmp_path, ("ssm",))


def test_compiled_files_are_never_checked_and_always_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build directory's name inside them would make each build a new layer version."""
    monkeypatch.setattr(build, "find_runtime_python", lambda: sys.executable)
    results: list[bytes] = []
    for name in ("first", "second"):
        package = tmp_path / name / "python"
        package.mkdir(parents=True)
        (package / "module.py").write_text("def answer():\n    return 42\n")
        assert build.compile_tree(tmp_path / name, "/opt")
        results.append(next(package.glob("__pycache__/*.pyc")).read_bytes())
    assert results[0] == results[1]
    assert int.from_bytes(results[0][4:8], "little") == 0b01  # validated by hash, and never checked against the source
    assert b"/opt/python/module.py" in results[0]


def test_without_the_runtimes_python_nothing_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "find_runtime_python", lambda: None)
    (tmp_path / "module.py").write_text("")
    assert not build.compile_tree(tmp_path, "/opt")
    assert not list(tmp_path.rglob("*.pyc"))
    assert "cold starts are slower" in capsys.readouterr().out


def test_a_python_that_does_not_run_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version manager puts a `python3.13` on the path that only says that it is not installed."""
    shim = tmp_path / f"python{build.RUNTIME_VERSION}"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    found = build.find_runtime_python()
    matches = ".".join(map(str, sys.version_info[:2])) == build.RUNTIME_VERSION
    assert found == (sys.executable if matches else None)


def test_product_layer(tmp_path: Path) -> None:
    build.build_product(ROOT / "shared", tmp_path)
    package = tmp_path / "python" / "headgate"
    assert (package / "catalog" / "catalog.json").is_file()
    assert (package / "conversation.py").is_file()


def test_the_lock_recipe_knows_every_lock() -> None:
    script = (ROOT / "scripts" / "lock.sh").read_text()
    locks = [LAYER, RUN, TEST, SAM_CLI]
    for lock in locks:
        assert lock in script
    beside = sorted(f"requirements/{path.name}" for path in (ROOT / "requirements").glob("*.txt"))
    assert beside == sorted(locks[1:])
