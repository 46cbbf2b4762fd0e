import base64

import pytest

from headgate.conversation import Sealed
from headgate.protocols.sealing import sealer, unsealer

SEALED = Sealed("messages", "EqQBCg==", "anthropic", "claude-sonnet-5", "signature")


def test_a_token_comes_back_for_its_owner_only():
    token = sealer(b"secret", "alice")(SEALED)
    assert token.startswith("hg1.") and token.isascii()
    assert unsealer(b"secret", "alice", "responses")(token) == SEALED
    assert unsealer(b"secret", "bob", "responses")(token) is None
    assert unsealer(b"other", "alice", "responses")(token) is None


def test_every_changed_byte_is_noticed():
    token = sealer(b"secret", "alice")(SEALED)
    unseal = unsealer(b"secret", "alice", "responses")
    body, _, mac = token[4:].partition(".")
    forged = (
        base64.urlsafe_b64encode(b'["messages","anthropic","claude-opus-4-8","signature","x"]').decode().rstrip("=")
    )
    for bad in (f"hg1.{forged}.{mac}", f"hg1.{body}", f"hg1.{body}.", "hg1.", "hg1.!!!.???", token[:-2], "hg1.é.é"):
        assert unseal(bad) is None, bad


@pytest.mark.parametrize("raw", ["EqQB", "", "gAAAA"])
def test_the_callers_own_bytes_are_left_alone(raw: str):
    assert unsealer(b"s", "o", "messages")(raw) == Sealed("messages", raw)


def test_sealing_twice_changes_nothing():
    seal = sealer(b"secret", "alice")
    token = seal(SEALED)
    assert seal(Sealed("responses", token)) == token
