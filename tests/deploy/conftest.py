"""What the tests of a real build need: the SAM CLI, a build, a Docker engine with the Lambda base image."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.rendering import ROOT

ARCHITECTURE = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
"""Lambda's name of this machine's processor."""


@pytest.fixture(autouse=True)
def region(monkeypatch: pytest.MonkeyPatch) -> None:
    """The transform asks botocore which partition it is in."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")


@dataclass(frozen=True, slots=True)
class Sam:
    """The SAM CLI, run where nothing of this machine's AWS configuration is seen."""

    program: str
    home: Path

    def environment(self) -> dict[str, str]:
        """This process's environment without its AWS settings, with credentials that are none."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HEADGATE_"))}
        nowhere = str(self.home / "none")
        return kept | {
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": nowhere,
            "AWS_SHARED_CREDENTIALS_FILE": nowhere,
            "SAM_CLI_TELEMETRY": "0",
        }

    def run(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run one command in the repository's root."""
        command = [self.program, *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment(), capture_output=True, text=True, timeout=timeout
        )


@pytest.fixture(scope="session")
def sam(tmp_path_factory: pytest.TempPathFactory) -> Sam:
    program = shutil.which("sam")
    if program is None:
        pytest.skip("the SAM CLI is not on the path (pipx install aws-sam-cli)")
    return Sam(program, tmp_path_factory.mktemp("sam-home"))


@pytest.fixture(scope="session")
def built(sam: Sam, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that `sam build` fills, without a container, for this machine's processor."""
    directory = tmp_path_factory.mktemp("sam") / "build"
    override = f"Architecture={ARCHITECTURE}"
    result = sam.run("build", "--build-dir", str(directory), "--parameter-overrides", override, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    return directory


@pytest.fixture(scope="session")
def lambda_image() -> str:
    """The base image that `sam local` runs functions in. It is looked for and never pulled."""
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip("no Docker engine")
    image = f"public.ecr.aws/lambda/python:3.13-{ARCHITECTURE}"
    if subprocess.run(["docker", "image", "inspect", image], capture_output=True).returncode:
        pytest.skip(f"the image {image} is not here (docker pull {image})")
    return image
