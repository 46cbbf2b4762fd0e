"""Which credential a conversation goes to, as pure functions."""

from collections import Counter
from typing import Any

import pytest

from headgate.catalog.catalog import Catalog
from headgate.conversation import Sealed
from headgate.errors import GatewayError
from headgate.protocols.contract import Target
from headgate.protocols.sealing import sealer, unsealer
from headgate.providers.auth import Credentials
from headgate.routing.affinity import conversation_start, in_order, makers_of, opens_nothing, rejects_reasoning
from headgate.routing.attempt import MAX_ATTEMPTS
from headgate.routing.candidates import Candidate, is_pinned, reachable, resolve

CATALOG = Catalog.bundled()
MODEL = "gpt-5-mini"


async def candidates(openai: int, azure: int = 0, model: str = MODEL) -> list[Candidate]:
    environ = {f"HEADGATE_OPENAI_API_KEY_{number + 2}": f"sk-{number}" for number in range(openai)}
    for number in range(azure):
        environ[f"HEADGATE_AZURE_API_KEY_{number + 2}"] = f'{{"api_key": "az-{number}", "resource": "r{number}"}}'
    return await reachable(resolve(model, CATALOG), Credentials(environ), "responses", model)


def names(ordered: list[Candidate]) -> list[str]:
    return [f"{each.route.provider}/{each.access.id}" for each in ordered]


async def test_a_conversation_returns_and_conversations_spread():
    four = await candidates(4)
    first = Counter(names(in_order(four, [], f"conversation {number}", move_routes=False))[0] for number in range(400))
    assert len(first) == 4 and min(first.values()) > 60, first
    for number in range(20):
        once, again = (in_order(four, [], f"c{number}", move_routes=False) for _ in range(2))
        assert names(once) == names(again)


async def test_another_credential_moves_only_what_it_takes():
    three, four = await candidates(3), await candidates(4)
    (new,) = set(names(four)) - set(names(three))
    for number in range(100):
        before = names(in_order(three, [], f"c{number}", move_routes=False))
        after = names(in_order(four, [], f"c{number}", move_routes=False))
        assert [each for each in after if each != new] == before


async def test_who_made_the_reasoning_goes_first():
    offered = await candidates(3, 2)
    for maker in offered:
        which = (maker.route.provider, maker.access.id)
        ordered = in_order(offered, [which], "c", move_routes=True)
        assert ordered[0] == maker and len(ordered) == 5
        within = in_order(offered, [which], "c", move_routes=False)
        assert within[0].route.provider == offered[0].route.provider, "the caller's choice of a provider stands"
        assert next(each for each in within if each.route.provider == which[0]) == maker


async def test_two_credentials_of_a_route_then_the_next_route():
    ordered = in_order(await candidates(6, 1), [], "c", move_routes=False)
    providers = [each.route.provider for each in ordered]
    assert providers[:3] in (["openai", "openai", "azure"], ["azure", "openai", "openai"])
    assert set(providers[:MAX_ATTEMPTS]) == {"openai", "azure"} and len(ordered) == 7


async def test_an_unknown_maker_changes_nothing():
    offered = await candidates(3, 1)
    plain = in_order(offered, [], "c", move_routes=False)
    assert in_order(offered, [("openai", "00000000")], "c", move_routes=True) == plain
    assert in_order([], [("openai", "x")], "c", move_routes=True) == []


def test_the_newest_token_of_this_owner_and_these_providers_counts():
    def token(owner: str, provider: str, credential: str | None) -> str:
        return sealer(b"secret", owner, credential)(Sealed("responses", "gAAA", provider, "gpt-5", "encrypted"))

    history: list[Any] = [
        {"type": "reasoning", "encrypted_content": token("ada", "openai", "old")},
        {"role": "assistant", "reasoning_details": [{"data": token("ada", "openai", "new")}]},
        {"role": "user", "content": [{"text": "hg1.what.is"}, {"text": token("eve", "openai", "evil")}]},
        {"type": "reasoning", "encrypted_content": token("ada", "xai", "elsewhere")},
        {"type": "reasoning", "encrypted_content": token("ada", "openai", None)},
    ]
    unseal = unsealer(b"secret", "ada", "responses")
    assert makers_of(history, unseal, frozenset({"openai"})) == [("openai", "new")]
    assert makers_of(history, unseal, frozenset({"azure"})) == []
    assert makers_of("hg1.", unseal, frozenset({"openai"})) == []


def test_the_start_of_a_conversation_stays_as_it_grows():
    start = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    marked = [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]
    grown = [start[0], {"role": "user", "content": marked}, {"role": "assistant", "content": "Hello"}, start[1]]
    assert conversation_start(start) == conversation_start(grown)
    assert conversation_start(start) != conversation_start([{"role": "user", "content": "Ho"}])
    assert conversation_start("text") == "text" and conversation_start(None) == "[]"


async def test_a_provider_in_the_name_pins():
    assert [is_pinned(name, CATALOG) for name in (MODEL, f"azure/{MODEL}", "auto")] == [False, True, False]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The encrypted content gAAA...DQ== could not be verified.", "invalid_encrypted_content"),
        (
            "The encrypted content for item rs_1 could not be verified. Reason: Encrypted content organization_id did "
            "not match the target organization.",
            None,
        ),
        (
            "Could not decrypt the provided encrypted_content. Ensure the value is the unmodified one.",
            "invalid-argument",
        ),
        ("Could not decode the compaction blob. Ensure it is unmodified from the compact response.", None),
        ("messages.1.content.0: Invalid `signature` in `thinking` block", None),
        ("messages.1.content.0: Invalid `data` in `redacted_thinking` block", None),
        ("Unable to submit request because Thought signature is not valid.. Learn more: …", None),
        ("Corrupted thought signature.", None),
        ("Invalid thought signature.", None),
    ],
)
def test_vendors_words_for_reasoning_that_is_not_theirs(text: str, code: str | None):
    assert rejects_reasoning(GatewayError(400, "invalid_request_error", code, text))


@pytest.mark.parametrize(
    "text",
    [
        "Function call is missing a thought_signature in functionCall parts.",
        "Encrypted content is not supported with this model.",
        "Expected `thinking` or `redacted_thinking`, but found `tool_use`.",
        "Invalid value: 'x'.",
    ],
)
def test_other_refusals_are_not_tried_again(text: str):
    assert not rejects_reasoning(GatewayError(400, "invalid_request_error", None, text))


def test_what_an_account_encrypted_is_shown_to_no_other():
    def sealed(protocol: str, kind: Any, credential: str | None) -> Sealed:
        return Sealed(protocol, "x", "openai", "gpt-5", kind, credential)

    target = Target("openai", "gpt-5", credential="a")
    assert target.made(sealed("responses", "encrypted", "a"), "responses")
    assert not target.made(sealed("responses", "encrypted", "b"), "responses")
    assert target.made(sealed("responses", "encrypted", None), "responses"), "a token of before there were several"
    for protocol in ("messages", "gemini"):
        assert target.made(sealed(protocol, "signature", "b"), protocol)
    assert target.made(sealed("gemini", "encrypted", "b"), "gemini")
    assert opens_nothing("hg1.x.y") is None


def test_a_token_names_its_credential_and_old_tokens_none():
    plain = Sealed("responses", "gAAA", "openai", "gpt-5", "encrypted")
    unseal = unsealer(b"secret", "ada", "responses")
    opened = unseal(sealer(b"secret", "ada", "0a1b2c3d")(plain))
    assert opened is not None and opened.credential == "0a1b2c3d" and opened.data == "gAAA"
    assert unseal(sealer(b"secret", "ada")(plain)) == plain
