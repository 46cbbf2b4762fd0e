"""Capabilities of tuning: reasoning and its seals, caching, stop sequences, limits."""

from __future__ import annotations

import base64
import json

from dev.simulated_providers.tokens import filler
from tests.matrix.content import TOOLS, history
from tests.matrix.facts import Ask, Results, Said, user
from tests.matrix.harness import Cell
from tests.sdk.support import PARIS, WEATHER

THOUGHT = "The user wants it done. So be it."


def reasoning(cell: Cell) -> None:
    """The effort reaches the vendor in its own form; what the vendor shows of the reasoning comes back."""
    answer = cell.ask(Ask((user(f"[[think:{THOUGHT}]][[say:Done.]]"),), effort="high", limit=9000))
    assert answer.text == "Done." and answer.finish == cell.finish("stop")
    asked = cell.sent()[-1]
    effort = asked.effort
    assert (effort.lower() if isinstance(effort, str) else effort) == cell.vendor.effort, asked.body
    if cell.frontend in cell.vendor.hides_thoughts:
        assert answer.thought == ""
    else:
        assert answer.thought == THOUGHT
    assert answer.usage is not None
    assert (answer.usage.reasoning > 0) == cell.vendor.counts_thoughts


def signatures(cell: Cell) -> None:
    """What a client keeps of a turn with reasoning and a call brings the vendor's own opaque bytes back to it on the
    next turn: each of them, unchanged, in their order."""
    asked = user(f"[[think:{THOUGHT}]][[tool:{WEATHER} {PARIS}]]")
    first = cell.ask(Ask((asked,), tools=TOOLS, effort="high", limit=9000))
    given = Results(((first.calls[0][0], ("18 degrees",)),))
    turns = (asked, Said(first.replay), given, user("[[history]]"))
    second = cell.ask(Ask(turns, tools=TOOLS, effort="high", limit=9000))
    lines = history(cell, second)
    assert f"result of {WEATHER}: 18 degrees" in lines
    arrived = cell.sent()[-1].seals
    if cell.lack:
        # What the gateway itself notes of where a thought came from is not the vendor's.
        assert arrived == []
        if cell.vendor.replays_thoughts and cell.frontend not in cell.vendor.hides_thoughts:
            assert f"thought: {THOUGHT}" in lines
        return
    assert first.seals and arrived == [opened(token) for token in first.seals]
    if cell.vendor.spoken(cell.frontend) in ("messages", "converse"):
        assert f"thought (sealed): {THOUGHT}" in lines
    assert not any("signature" in loss for loss in second.losses)


def opened(token: str) -> str:
    """The vendor's bytes inside a token of the gateway's; a vendor's own are themselves."""
    if not token.startswith("hg1."):
        return token
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))[4]


def caching(cell: Cell) -> None:
    """A long system text, sent twice: the mark or the key reaches the vendor, a mark that it has no use for is
    announced, and the second answer's usage says what the cache gave."""
    ask = Ask((user("[[say:ok]]"),), system=f"{cell.mark} {filler(3000)}", marked=True, cache_key=f"key-{cell.mark}")
    first, second = cell.ask(ask), cell.ask(ask)
    assert first.usage and second.usage
    assert first.usage.cache_read == 0 and second.usage.input == first.usage.input
    assert 2000 < second.usage.cache_read < second.usage.input
    one, other = cell.sent()
    assert one.body == other.body, "the same request must have the same bytes"
    if cell.vendor.caching == "marks":
        assert one.marks == 1 and not any("cache_control" in loss for loss in first.losses)
        assert first.usage.cache_write > 2000 and second.usage.cache_write == 0
        return
    assert one.marks == 0
    assert any("cache_control" in loss for loss in first.losses), first.losses
    if cell.vendor.caching == "key":
        own = "" if cell.frontend == "messages" else f"key-{cell.mark}"
        assert one.cache_key == own if own else one.cache_key.startswith("hg-")


def stop(cell: Cell) -> None:
    """The answer ends before the stop sequence; a vendor that has none is told of no such thing, and the client is."""
    answer = cell.ask(Ask((user("[[say:one two END three]]"),), stop=("END", "OVER")))
    asked = cell.sent()[-1]
    if cell.lack:
        assert asked.stop == [] and answer.text == "one two END three"
        assert any(loss.endswith((":stop", ":stop_sequences")) for loss in answer.losses), answer.losses
        return
    assert asked.stop == ["END", "OVER"]
    assert answer.text == "one two "
    if cell.vendor.stop_word == "named" or cell.frontend != "messages":
        assert answer.finish == cell.finish("stop_sequence")
    else:
        assert answer.finish == {"said": "stop_sequence", "silent": "end_turn"}[cell.vendor.stop_word]


def max_tokens(cell: Cell) -> None:
    """The limit reaches the vendor as it is, and a cut answer says so in the frontend's words."""
    answer = cell.ask(Ask((user("[[tokens:60]]"),), limit=23))
    assert cell.sent()[-1].limit == 23
    assert answer.text == filler(23) and answer.finish == cell.finish("length")
    assert answer.usage and answer.usage.output == 23
