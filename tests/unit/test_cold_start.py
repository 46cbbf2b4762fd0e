"""What a function's cold start must not do: send anything, or import what no ordinary request needs."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("functions/*/app.py"))
SLOW = ("boto3", "botocore.client", "botocore.session", "pydantic.v1", "aws_xray_sdk")
# Only a provider that needs it pays for it, with its first request.
SIGNERS = ("google.auth", "cryptography", "cffi", "urllib3", "botocore.auth", "botocore.eventstream")
# The vendors' own packages are there for tests. The product imports none, nor a tokenizer that downloads its tables.
VENDORS = ("openai", "anthropic", "google.genai", "cohere", "mistralai", "xai_sdk", "huggingface_hub", "tiktoken")
UNWANTED = (*SLOW, *SIGNERS, *VENDORS)
START = f"""
import asyncio, json, sys
sent = []
sys.addaudithook(lambda name, _: sent.append(name) if name in ("socket.connect", "socket.getaddrinfo") else None)
import headgate_runtime.loop
import app
async def start():
    async with app.app.router.lifespan_context(app.app):
        pass
asyncio.run(start())
print(json.dumps([sent, [name for name in {UNWANTED!r} if name in sys.modules]]))
"""


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_cold_start_sends_nothing_and_imports_nothing_in_vain(function: str):
    path = [ROOT / "functions" / function, ROOT / "shared", ROOT / "layers" / "runtime"]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token",
        "HEADGATE_PROVIDER_SECRETS": "/headgate/providers/",
        "HEADGATE_SEAL_SECRET_PARAMETER": "/headgate/seal",
    }
    command = [sys.executable, "-P", "-c", START]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [[], []]


def test_no_source_names_a_vendors_package_or_a_tokenizer():
    found: set[str] = set()
    for path in [*ROOT.glob("shared/**/*.py"), *ROOT.glob("functions/**/*.py"), *ROOT.glob("layers/runtime/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
    assert "httpx" in found
    assert not {name for name in found for vendor in VENDORS if name == vendor or name.startswith(f"{vendor}.")}
