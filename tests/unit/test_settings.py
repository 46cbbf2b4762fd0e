"""The environment is read once, strictly, and never shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headgate.settings import DAY, Settings, SettingsError

ROOT = Path(__file__).resolve().parents[2]


def test_defaults() -> None:
    settings = Settings.from_env({})
    assert settings == Settings()
    assert settings.table_names() == {
        "state": "headgate-state",
        "logs": "headgate-logs",
        "control": "headgate-control",
        "metrics": "headgate-metrics",
    }
    assert (settings.state_ttl, settings.log_ttl) == (30 * DAY, 30 * DAY)
    timeouts = settings.timeouts
    assert (timeouts.connect, timeouts.first_byte, timeouts.idle, timeouts.total) == (5, 60, 60, 600)
    assert settings.provider_secrets is None and settings.seal_secret is None and settings.origin_secret is None


def test_everything_can_be_set() -> None:
    settings = Settings.from_env(
        {
            "HEADGATE_STATE_TABLE": "s-1",
            "HEADGATE_LOGS_TABLE": "l-1",
            "HEADGATE_CONTROL_TABLE": "c-1",
            "HEADGATE_METRICS_TABLE": "m-1",
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "HEADGATE_BLOB_BUCKET": "my-bucket",
            "HEADGATE_STATE_TTL_DAYS": "7",
            "HEADGATE_LOG_TTL_DAYS": "1",
            "HEADGATE_MAX_REQUEST_BYTES": "20000000",
            "HEADGATE_MAX_LOGGED_BODY_BYTES": "0",
            "HEADGATE_LOG_LEVEL": "debug",
            "HEADGATE_PROVIDER_SECRETS": "/headgate/prod/providers",
            "HEADGATE_SEAL_SECRET": "s" * 32,
            "HEADGATE_SEAL_SECRET_PARAMETER": "/headgate/prod/seal",
            "HEADGATE_ORIGIN_SECRET": "from the edge",
            "HEADGATE_CONNECT_TIMEOUT": "2.5",
            "HEADGATE_FIRST_BYTE_TIMEOUT": "90",
            "HEADGATE_IDLE_TIMEOUT": "30",
            "HEADGATE_TOTAL_TIMEOUT": "900",
        }
    )
    assert list(settings.table_names().values()) == ["s-1", "l-1", "c-1", "m-1"]
    assert (settings.region, settings.blob_bucket) == ("eu-central-1", "my-bucket")
    assert (settings.state_ttl, settings.log_ttl) == (7 * DAY, DAY)
    assert (settings.max_request_bytes, settings.max_logged_body_bytes) == (20_000_000, 0)
    assert settings.log_level == "DEBUG"
    assert settings.provider_secrets == "/headgate/prod/providers/"
    assert (settings.seal_secret, settings.seal_secret_parameter) == (b"s" * 32, "/headgate/prod/seal")
    assert settings.origin_secret == "from the edge"
    timeouts = settings.timeouts
    assert (timeouts.connect, timeouts.first_byte, timeouts.idle, timeouts.total) == (2.5, 90, 30, 900)


def test_an_empty_variable_is_an_unset_one() -> None:
    names = ("HEADGATE_BLOB_BUCKET", "HEADGATE_STATE_TABLE", "HEADGATE_STATE_TTL_DAYS", "HEADGATE_LOG_LEVEL")
    assert Settings.from_env(dict.fromkeys(names, "") | {"HEADGATE_SEAL_SECRET": " "}) == Settings()


@pytest.mark.parametrize(
    "name,value",
    [
        ("HEADGATE_STATE_TABLE", "no spaces allowed"),
        ("HEADGATE_CONTROL_TABLE", "ab"),
        ("HEADGATE_BLOB_BUCKET", "Upper"),
        ("HEADGATE_STATE_TTL_DAYS", "0"),
        ("HEADGATE_STATE_TTL_DAYS", "1.5"),
        ("HEADGATE_LOG_TTL_DAYS", "-3"),
        ("HEADGATE_LOG_TTL_DAYS", "٣"),
        ("HEADGATE_MAX_REQUEST_BYTES", "6MB"),
        ("HEADGATE_LOG_LEVEL", "chatty"),
        ("HEADGATE_PROVIDER_SECRETS", "not a path"),
        ("HEADGATE_CONNECT_TIMEOUT", "0"),
        ("HEADGATE_IDLE_TIMEOUT", "901"),
        ("HEADGATE_TOTAL_TIMEOUT", "nan"),
        ("HEADGATE_FIRST_BYTE_TIMEOUT", "1e3"),
        ("HEADGATE_SEAL_SECRET", "short"),
    ],
)
def test_a_bad_value_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name) as raised:
        Settings.from_env({name: value})
    assert name != "HEADGATE_SEAL_SECRET" or value not in str(raised.value)


def test_secrets_are_not_in_the_printed_form() -> None:
    settings = Settings.from_env({"HEADGATE_SEAL_SECRET": "hidden-hidden-hidden", "HEADGATE_ORIGIN_SECRET": "veiled"})
    assert "hidden" not in repr(settings) and "veiled" not in repr(settings)


def test_importing_reads_no_environment_and_no_aws_library() -> None:
    """Importing must be fast and silent: the AWS library is loaded when a connection is made."""
    script = """
import os, socket, sys
os.environ.clear()
os.environ["HEADGATE_STATE_TTL_DAYS"] = "nonsense"
socket.socket.connect = None
import headgate.settings, headgate.observe, headgate.cli, headgate.access.keys
import headgate.storage.turns, headgate.storage.logs, headgate.storage.blobs, headgate.storage.continuations
heavy = {"botocore", "boto3", "aws_lambda_powertools", "pydantic"} & set(sys.modules)
assert not heavy, heavy
"""
    environment = {"PYTHONPATH": str(ROOT / "shared")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
