import pytest


@pytest.fixture(autouse=True)
def region(monkeypatch: pytest.MonkeyPatch) -> None:
    """The transform asks botocore which partition it is in."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
