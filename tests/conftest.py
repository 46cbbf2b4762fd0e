"""Fixtures that several test packages use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dev.embedded_dynamodb import EmbeddedDynamoDB


@pytest.fixture(scope="session")
def dynamodb_server() -> Iterator[EmbeddedDynamoDB]:
    """One server for the whole session. Tests that use it directly make tables of their own."""
    with EmbeddedDynamoDB() as server:
        yield server


@pytest.fixture
def dynamodb(dynamodb_server: EmbeddedDynamoDB, monkeypatch: pytest.MonkeyPatch) -> EmbeddedDynamoDB:
    """The server, with every AWS client of this process pointed at it for the length of the test. Each
    ``create_tables()`` makes tables under new names, so tests never meet each other's rows."""
    for name, value in dynamodb_server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return dynamodb_server
