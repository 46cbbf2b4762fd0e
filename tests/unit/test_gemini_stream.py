"""Streams of Gemini as neutral events."""

import json

import pytest
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.conversation import (
    Citation,
    Message,
    OpaquePart,
    Reasoning,
    Sealed,
    Text,
    Thought,
    TokenLogprob,
    ToolCall,
)
from headgate.events import Delta, Failed, Finished, ItemEnded, ItemStarted, Started, UsageUpdated
from headgate.fold import fold
from headgate.protocols.gemini.reasons import FAILURES, read_reason
from headgate.protocols.gemini.upstream_stream import StreamReader
from headgate.protocols.names import NameMap
from headgate.protocols.sse import FrameSplitter, parse_frame
from tests.unit.gemini_support import FIXTURES, FLASH_3, FLASH_25, chunk, fixture, frames, read

CASES = sorted(path.name for path in FIXTURES.iterdir())
BROKEN = {"error_in_stream", "error_first_listed", "cut", "malformed_call"}


def items(case, **options):
    return fold(read(fixture(case), **options)).items


def seal(data, kind="signature", target=FLASH_3):
    return Sealed("gemini", data, target.provider, target.model, kind)


@pytest.mark.parametrize("case", CASES)
def test_the_fixtures_are_what_the_sdk_reads(case):
    for line in fixture(case):
        value = json.loads(line)
        if isinstance(value, dict) and "error" not in value and "simulated" not in value:
            # On the wire, but not among the SDK's types.
            value.get("usageMetadata", {}).pop("serviceTier", None)
            types.GenerateContentResponse.model_validate(value)


@pytest.mark.parametrize("case", CASES)
def test_the_event_grammar_holds(case):
    events = read(fixture(case))
    kinds = [type(event) for event in events]
    assert kinds.count(Finished) + kinds.count(Failed) == 1 and kinds[-1] in (Finished, Failed)
    assert (kinds[-1] is Failed) == (case in BROKEN)
    assert kinds.count(Started) == (case != "error_first_listed")
    opened = 0
    for kind in kinds:
        opened += (kind is ItemStarted) - (kind is ItemEnded)
        assert opened in (0, 1)
    assert case in BROKEN or opened == 0
    counted = [index for index, kind in enumerate(kinds) if kind is UsageUpdated]
    assert len(counted) <= 1 and all(index == len(kinds) - 2 for index in counted)


@pytest.mark.parametrize("case", CASES)
def test_the_network_may_cut_at_every_byte(case):
    stream, whole = b"".join(frames(case)), repr(read(fixture(case)))
    for cut in range(len(stream) + 1):
        splitter, reader, events = FrameSplitter(), StreamReader(FLASH_3), []
        for piece in (stream[:cut], stream[cut:]):
            for frame in splitter.feed(piece):
                name, payload = parse_frame(frame)
                assert payload is not None
                events += reader.read(name, payload)
        assert repr(events + reader.end()) == whole


def test_text_keeps_its_signature_behind_it():
    assert items("text_signed_at_the_end") == (
        Message("assistant", (Text('There are **3** \u2028"r"s in strawberry 😀.'),)),
        Reasoning((), seal("EpAICo0IAb4+9vuku3oD", "encrypted")),
    )
    first, second = items("second_signed_text")[:2]
    assert first == Message("assistant", (Text("One"),)) and second == Reasoning((), seal("U2lnMQ==", "encrypted"))
    assert items("second_signed_text")[2:] == (
        Message("assistant", (Text("two"),)),
        Reasoning((), seal("U2lnMg==", "encrypted")),
    )


def test_thoughts_are_summaries():
    events = read(fixture("thoughts"), FLASH_25)
    answer = fold(events)
    assert answer.items == (
        Reasoning((Thought("**Counting**\n\nOne letter after another."),)),
        Message("assistant", (Text("Three."),)),
    )
    assert [event.text for event in events if type(event) is Delta] == [
        "**Counting**\n\nOne letter ",
        "after another.",
        "Three.",
    ]
    signed = items("signed_thought")
    assert signed[0] == Reasoning((Thought("Hm."),), seal("VGhvdWdodA=="))


def test_parallel_calls_keep_ids_order_and_the_first_ones_signature():
    said, first, second = items("parallel_calls")
    assert said == Message("assistant", (Text("I'll look."),))
    assert first == ToolCall(
        "lpndqlku", "get_weather", '{"city":"Paris","days":2}', sealed=seal("AY89a19YsnFp7FOSIejJ")
    )
    assert second == ToolCall("m6rogicj", "get_weather", '{"city":"Tokyo","days":0.5}')
    finished = read(fixture("parallel_calls"))[-1]
    message = {"finish_message": "Model generated function call(s)."}
    assert finished == Finished("tool_calls", "STOP", extra=message)


def test_calls_without_ids_get_their_own_the_same_each_time():
    first, second = items("call_without_id_or_args", target=FLASH_25)
    assert first.arguments == second.arguments == "{}"
    assert first.call_id != second.call_id and len(first.call_id) <= 40
    assert items("call_without_id_or_args", target=FLASH_25) == (first, second)
    elsewhere = read([chunk([{"functionCall": {"name": "now"}}], "STOP")])
    assert fold(elsewhere).items[0].call_id not in (first.call_id, second.call_id)
    twice = [{"functionCall": {"name": "now", "id": "same"}}] * 2
    ids = [item.call_id for item in fold(read([chunk(twice, "STOP")])).items]
    assert ids[0] == "same" and ids[1] != "same"


def test_usage_is_inclusive():
    usage = fold(read(fixture("thoughts"))).usage
    assert (usage.input_total, usage.cache_read, usage.output_total, usage.reasoning) == (9, 4, 40, 38)
    usage = fold(read(fixture("search"))).usage
    assert (usage.input_total, usage.output_total, usage.total) == (325, 48, 373)
    usage = fold(read(fixture("vertex_counts_at_the_end"))).usage
    assert (usage.input_total, usage.audio_input, usage.output_total, usage.reasoning) == (7, 3, 96, 94)
    assert fold(read(fixture("error_in_stream"))).usage.total == 5
    # A chunk of usage alone after the finish reason counts, too.
    assert fold(read(fixture("unknown_parts"))).usage.output_total == 10


def test_the_start_tells_the_input_where_the_vendor_does():
    started = read(fixture("thoughts"))[0]
    assert (started.id, started.model) == ("vQRpaqzAPN2M9MoPxPq2uQ4", "gemini-2.5-flash")
    assert started.usage.input_total == 9 and started.usage.output_total == 0
    assert read(fixture("vertex_counts_at_the_end"))[0].usage is None


@pytest.mark.parametrize(("target", "billed"), [(FLASH_25, 1), (FLASH_3, 2)])
def test_a_search_gives_citations_a_call_and_its_price(target, billed):
    answer = fold(read(fixture("search"), target))
    message, call = answer.items
    text = message.parts[0].text
    one, two = "https://news.example.com/one", "https://wiki.example.org/two"
    at = text.index("According")
    end = text.index(" The")
    assert message.parts[0].citations == (
        Citation(one, "news.example.com", start=at, end=end),
        Citation(two, "wiki.example.org", start=at, end=end),
        # Offsets that lead elsewhere are not trusted: the passage is looked for.
        Citation(two, "wiki.example.org", start=end, end=len(text)),
    )
    assert (call.kind, call.ran_by, call.name) == ("web_search", "provider", "web_search")
    assert json.loads(call.arguments) == {
        "type": "search",
        "query": "cats",
        "queries": ["cats", "cats news"],
        "sources": [{"type": "url", "url": one}, {"type": "url", "url": two}],
    }
    assert answer.usage.web_searches == billed
    assert answer.finished.reason == "stop"


def test_offsets_count_bytes_and_ours_count_characters():
    text = "Où ? À Zürich 🌊. À Zürich 🌊."
    raw = text.encode()
    # The same words twice: only the offsets tell which are meant.
    at = raw.rindex("À".encode())
    metadata = {
        "webSearchQueries": ["Zürich"],
        "groundingChunks": [{"web": {"uri": "https://a.example/", "title": "a"}}],
        "groundingSupports": [
            {"segment": {"endIndex": 5, "text": "Où ?"}, "groundingChunkIndices": [0]},
            {
                "segment": {"startIndex": at, "endIndex": len(raw), "text": "À Zürich 🌊."},
                "groundingChunkIndices": [0],
            },
        ],
    }
    middle = len(text) // 2
    lines = [chunk([{"text": text[:middle]}]), chunk([{"text": text[middle:]}], "STOP")]
    last = json.loads(lines[1])
    last["candidates"][0]["groundingMetadata"] = metadata
    message, _ = fold(read([lines[0], json.dumps(last).encode()])).items
    assert message.parts[0].text == text
    spans = [(each.start, each.end) for each in message.parts[0].citations]
    assert spans == [(0, 4), (text.rindex("À"), len(text))]


def test_recited_sources_are_citations():
    (message,) = items("recitation")
    assert message.parts[0].citations == (Citation("https://books.example.com/moby", start=0, end=16),)


def test_logprobs():
    (message,) = items("logprobs")
    first, second = message.parts[0].logprobs
    assert first == TokenLogprob("Hi", -0.25, (72, 105), (("Hi", -0.25, (72, 105)), ("Ho", -2.5, (72, 111))))
    assert (second.token, second.logprob, second.bytes) == (" é", -1.0, (32, 195, 169))


def test_a_refused_prompt_ends_as_a_content_filter():
    answer = fold(read(fixture("prompt_blocked")))
    assert answer.items == () and answer.usage.input_total == 9
    assert (answer.finished.reason, answer.finished.raw) == ("content_filter", "PROHIBITED_CONTENT")


REASONS = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "OTHER": "stop",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "IMAGE_OTHER": "stop",
    "NO_IMAGE": "stop",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
    "CONTINUATION": "length",
    "FINISH_REASON_UNSPECIFIED": "stop",
}


def test_every_reason_the_sdk_knows_is_in_the_table():
    assert {reason.value for reason in types.FinishReason} == REASONS.keys() | FAILURES.keys()
    for word, reason in REASONS.items():
        finished = read([chunk([{"text": "x"}], word)])[-1]
        assert (finished.reason, finished.raw) == (reason, word)
    assert read_reason("SOMETHING_NEW", called=False) == "stop"
    assert read_reason("SOMETHING_NEW", called=True) == "tool_calls"
    assert read_reason("MAX_TOKENS", called=True) == "length"


@pytest.mark.parametrize("word", sorted(FAILURES))
def test_what_is_no_answer_fails(word):
    failed = read([chunk([{"text": "x"}], word)])[-1]
    assert (failed.error.status, failed.error.code, failed.error.message) == (424, word.lower(), FAILURES[word])
    told = fold(read(fixture("malformed_call"))).error
    assert told.message == "Malformed function call: print(default_api.now("
    assert told.model == "vertex/gemini-3-flash-preview"


def test_errors_amid_a_stream():
    error = fold(read(fixture("error_in_stream"))).error
    assert (error.status, error.code, error.type) == (503, "UNAVAILABLE", "service_unavailable")
    error = fold(read(fixture("error_first_listed"))).error
    assert (error.status, error.type) == (429, "rate_limit_error")
    assert fold(read(fixture("cut"))).error.code == "stream_truncated"
    assert fold(read([])).error.code == "stream_truncated"


def test_parts_of_the_vendors_own_tools_are_kept_whole():
    (message,) = items("unknown_parts")
    code = {"executableCode": {"language": "PYTHON", "code": "print(1)"}}
    assert message.parts == (OpaquePart("gemini", code), Text("1"))


def test_names_and_free_text_tools_are_turned_back():
    names = NameMap()
    wire = names.to_wire("files.read", "disk")
    free = names.to_wire("patch")
    names.custom.add(free)
    names.to_wire("2fa")
    calls = [
        {"functionCall": {"name": wire, "args": {"_raw_arguments": "[1]"}}},
        {"functionCall": {"name": free, "args": {"input": "*** Begin\n"}}},
        {"functionCall": {"name": "_2fa", "args": {}}},
        {"functionCall": {"name": "made_up", "args": {}}},
    ]
    found = fold(read([chunk(calls, "STOP")], names=names)).items
    assert [(item.namespace, item.name, item.kind, item.arguments) for item in found] == [
        ("disk", "files.read", "function", "[1]"),
        (None, "patch", "custom", "*** Begin\n"),
        (None, "2fa", "function", "{}"),
        (None, "made_up", "function", "{}"),
    ]


def test_the_structured_output_function_becomes_text():
    call = {"functionCall": {"name": "answer", "args": {"city": "Paris"}}}
    answer = fold(read([chunk([call], "STOP")], json_tool="answer"))
    assert answer.items == (Message("assistant", (Text('{"city":"Paris"}'),)),)
    assert answer.finished.reason == "stop"


LEVELS = {"type": "object", "properties": {"level": {"$ref": "#/$defs/L"}}, "$defs": {"L": {"enum": [1, 2.5, True]}}}


def test_enumerations_are_turned_back():
    call = {"functionCall": {"name": "set", "args": {"level": "1", "other": "1"}}}
    (item,) = fold(read([chunk([call], "STOP")], schemas={"set": LEVELS})).items
    assert item.arguments == '{"level":1,"other":"1"}'
    pieces = [chunk([{"text": '{"level":'}]), chunk([{"text": ' "true"}'}], "STOP")]
    answer = fold(read(pieces, answer_schema=LEVELS))
    assert answer.items[0].parts == (Text('{"level":true}'),)
    cut = fold(read([chunk([{"text": '{"level": "2'}], "MAX_TOKENS")], answer_schema=LEVELS))
    assert cut.items[0].parts == (Text('{"level": "2'),) and cut.finished.reason == "length"


JUNK = [
    b"{",
    b"null",
    b"7",
    b'"text"',
    b"[]",
    b'{"candidates": {"content": 1}}',
    b'{"candidates": [7]}',
    b'{"candidates": [{"content": {"parts": [{"text": 7}]}}]}',
    b'{"candidates": [{"content": {"parts": {"text": "x"}}}]}',
    b'{"candidates": [{"content": "x"}]}',
    b'{"candidates": [{"content": {"parts": [{"text": "x", "thoughtSignature": 7}]}}]}',
    b'{"candidates": [{"content": {"parts": [{"functionCall": {"args": {}}}]}}]}',
    b'{"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": [1]}}]}}]}',
    b'{"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "willContinue": true}}]}}]}',
    b'{"candidates": [{"finishReason": 7}]}',
    b'{"candidates": [{"logprobsResult": {"chosenCandidates": [{"logProbability": "x"}]}}]}',
    b'{"usageMetadata": [], "candidates": [{"content": {"parts": [{"text": NaN}]}}]}',
    b'{"usageMetadata": {"promptTokenCount": Infinity}}',
    b'{"usageMetadata": 7}',
    b"\xff\xfe",
    b"[" * 100_000,
]


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
def test_junk_is_exactly_one_failure(junk):
    reader = StreamReader(FLASH_3)
    events = reader.read(None, chunk([{"text": "Hi"}])) + reader.read(None, junk)
    events += reader.read(None, chunk([{"text": "more"}], "STOP")) + reader.end() + reader.end()
    assert [type(event) for event in events].count(Failed) == 1 and type(events[-1]) is Failed
    assert events[-1].error.status == 424 and "Traceback" not in events[-1].error.message
    assert b"more" not in repr(events).encode()


SHAPES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "candidates",
                    "content",
                    "parts",
                    "text",
                    "thought",
                    "thoughtSignature",
                    "functionCall",
                    "name",
                    "args",
                    "id",
                    "finishReason",
                    "usageMetadata",
                    "promptTokenCount",
                    "groundingMetadata",
                    "groundingChunks",
                    "groundingSupports",
                    "segment",
                    "startIndex",
                    "web",
                    "uri",
                    "promptFeedback",
                    "blockReason",
                    "error",
                    "message",
                    "details",
                    "logprobsResult",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=300)
@given(st.lists(SHAPES, max_size=4), st.booleans())
def test_whatever_comes_ends_once_and_never_raises(values, complete):
    lines = [json.dumps(value).encode() for value in values]
    events = read(lines + ([chunk([{"text": "x"}], "STOP")] if complete else []))
    kinds = [type(event) for event in events]
    assert kinds.count(Finished) + kinds.count(Failed) == 1 and kinds[-1] in (Finished, Failed)
    assert kinds.count(ItemStarted) >= kinds.count(ItemEnded)
