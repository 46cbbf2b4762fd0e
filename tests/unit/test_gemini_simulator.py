"""The simulated Gemini: the vendor's SDK takes its answers, it takes our requests and refuses what the vendor would."""

import json

import pytest
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials
from hypothesis import given, settings
from starlette.testclient import TestClient

from dev.simulated_providers import create_app, serve
from headgate.conversation import (
    FunctionTool,
    Message,
    Output,
    OutputFormat,
    Reasoning,
    Request,
    Sampling,
    Text,
    Thinking,
    Thought,
    ToolCall,
    ToolChoice,
    ToolResult,
    WebSearchTool,
)
from headgate.fold import fold
from headgate.protocols.contract import Reply
from headgate.protocols.gemini.errors import read_error
from headgate.protocols.gemini.upstream_request import reader_options, write_request
from headgate.protocols.gemini.upstream_stream import StreamReader
from headgate.protocols.names import NameMap
from headgate.protocols.registry import client_side
from headgate.protocols.sealing import sealer, unsealer
from headgate.protocols.sse import FrameSplitter, parse_frame
from tests.strategies import requests
from tests.unit.gemini_support import FLASH_3, FLASH_20, FLASH_25, asked

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = FunctionTool("get_weather", "The weather.", CITY)
TIME = FunctionTool("get.time", "The time.", {"type": "object", "properties": {"zone": {"enum": [1, 2]}}})
VERTEX = "/vertex/v1/projects/p/locations/global/publishers/google/models/"
KEYED = "/vertex/v1beta/models/"
AUTH = {"authorization": "Bearer token"}


@pytest.fixture(scope="module")
def client():
    with TestClient(create_app()) as running:
        yield running


def ask(client, request, target=FLASH_3, prefix=VERTEX):
    """Our request to the simulation and its answer through our reader."""
    names = NameMap()
    body, losses = write_request(request, target, names)
    reader = StreamReader(target, names, **reader_options(request, target))
    response = client.post(
        f"{prefix}{target.model}:streamGenerateContent?alt=sse", json=body, headers=AUTH | {"x-goog-api-key": "k"}
    )
    assert response.status_code == 200, response.text
    events = []
    splitter = FrameSplitter()
    for frame in splitter.feed(response.content):
        name, data = parse_frame(frame)
        assert data is not None
        events += reader.read(name, data)
    assert not splitter.rest()
    return fold(events + reader.end()), losses


def text(answer):
    return "".join(part.text for item in answer.items if isinstance(item, Message) for part in item.parts)


@pytest.mark.parametrize("prefix", [VERTEX, KEYED])
@pytest.mark.parametrize("target", [FLASH_3, FLASH_25, FLASH_20], ids=lambda target: target.model)
def test_an_answer(client, target, prefix):
    answer, _ = ask(client, asked("Hello there"), target, prefix)
    assert text(answer) == "You said: Hello there." and answer.finished.reason == "stop"
    assert (answer.usage.input_total, answer.usage.output_total, answer.usage.total) == (5, 6, 11)
    assert answer.id and answer.model == target.model
    assert any(isinstance(item, Reasoning) for item in answer.items) == (target is FLASH_3)


def test_a_tool_loop_with_signatures(client):
    first = asked("Use get_weather and get.time [[then:Done.]]", tools=(WEATHER, TIME))
    answer, _ = ask(client, first)
    calls = [item for item in answer.items if isinstance(item, ToolCall)]
    assert [call.name for call in calls] == ["get_weather"] and answer.finished.reason == "tool_calls"
    assert calls[0].sealed is not None
    results = tuple(ToolResult(call.call_id, (Text("fine"),)) for call in calls)
    second = asked(*first.items, *answer.items, *results, tools=first.tools)
    assert text(ask(client, second)[0]) == "Done."
    # A client that lost the signature is let through by the skip value, not by luck.
    stripped = ToolCall(calls[0].call_id, calls[0].name, calls[0].arguments)
    ask(client, asked(*first.items, stripped, *results, tools=first.tools))
    bare = write_request(asked(*first.items, stripped, *results, tools=first.tools), FLASH_25)[0]
    refused = client.post(f"{VERTEX}{FLASH_3.model}:generateContent", json=bare, headers=AUTH)
    assert refused.status_code == 400 and "missing a thought_signature" in refused.text


@pytest.mark.parametrize("target", [FLASH_3, FLASH_25, FLASH_20], ids=lambda target: target.model)
@pytest.mark.parametrize("count", [2, 3])
def test_parallel_calls(client, target, count):
    calls = "".join(f'[[tool:get_weather {{"city":"{index}"}}]]' for index in range(count))
    request = asked(f"Go {calls}", tools=(WEATHER,))
    answer, _ = ask(client, request, target)
    found = [item for item in answer.items if isinstance(item, ToolCall)]
    assert [call.arguments for call in found] == [f'{{"city":"{index}"}}' for index in range(count)]
    assert len({call.call_id for call in found}) == count
    assert [call.sealed is not None for call in found] == [target is FLASH_3] + [False] * (count - 1)
    results = [ToolResult(call.call_id, (Text(f"r{index}"),)) for index, call in enumerate(found)]
    more, _ = ask(client, asked(*request.items, *answer.items, *reversed(results), tools=(WEATHER,)), target)
    assert text(more) == "Tool results: " + "; ".join(f"get_weather gave: r{index}" for index in range(count)) + "."


@pytest.mark.parametrize("frontend", ["responses", "chat_completions", "messages"])
def test_signatures_survive_each_frontend(client, frontend):
    answer, _ = ask(client, asked("Go [[think:Hm.]][[say:Three.]]", thinking=Thinking(effort="low")))
    seal = [item.sealed for item in answer.items if isinstance(item, Reasoning) and item.sealed]
    assert len(seal) == 1
    history = _replayed(frontend, answer)
    parts = [part for turn in history["contents"] for part in turn["parts"]]
    assert {"text": "Three.", "thoughtSignature": seal[0].data} in parts


def _replayed(frontend, answer):
    """The body for the next turn, of what a client of ``frontend`` gives back of ``answer``."""
    reply = Reply(
        id="resp_1",
        created_at=1_800_000_000,
        model="vertex/gemini-3-flash-preview",
        body={"model": "m", "include": ["reasoning.encrypted_content"]},
        price=lambda usage: 1,
        seal=sealer(b"s" * 32, "owner"),
        completed_at=lambda: 1_800_000_001,
    )
    side = client_side(frontend)
    body = side.write_answer(answer, reply)
    if frontend == "responses":
        sent = {"model": "m", "input": [{"role": "user", "content": "Go"}, *body["output"], _user("On")]}
    elif frontend == "messages":
        turn = {"role": "assistant", "content": body["content"]}
        sent = {"model": "m", "max_tokens": 9, "messages": [_user("Go"), turn, _user("On")]}
    else:
        sent = {"model": "m", "messages": [_user("Go"), body["choices"][0]["message"], _user("On")]}
    request, _ = side.read_request(sent, unsealer(b"s" * 32, "owner", frontend))
    return write_request(request, FLASH_3)[0]


def _user(said):
    return {"role": "user", "content": said}


def test_thoughts_are_shown_and_counted(client):
    request = asked("Go [[think:One two three.]][[say:Yes.]]", thinking=Thinking(effort="high"))
    for target in (FLASH_3, FLASH_25):
        answer, losses = ask(client, request, target)
        assert answer.items[0].parts == (Thought("One two three."),) and losses == []
        assert (answer.usage.reasoning, answer.usage.output_total) == (4, 6)
    hidden, _ = ask(client, asked(*request.items, thinking=Thinking(effort="high", display="omitted")), FLASH_25)
    assert not any(isinstance(item, Reasoning) and item.parts for item in hidden.items)
    assert hidden.usage.reasoning == 4


@pytest.mark.parametrize("target", [FLASH_3, FLASH_25, FLASH_20], ids=lambda target: target.model)
@pytest.mark.parametrize("tools", [(), (WEATHER,), (WebSearchTool(),)], ids=["alone", "tools", "search"])
def test_structured_output(client, target, tools):
    schema = {"type": "object", "properties": {"level": {"enum": [3, 4]}}, "required": ["level"]}
    request = asked("Go", output=Output(OutputFormat("json_schema", schema)), tools=tools)
    answer, losses = ask(client, request, target)
    if tools and target is not FLASH_3 and isinstance(tools[0], WebSearchTool):
        assert [loss.code for loss in losses] == ["json_schema_emulated"]
        return
    if tools and target is not FLASH_3:
        # Other functions go first: the model ends with the one that stands for the answer.
        request = asked("Go", output=request.output, tools=tools, tool_choice=ToolChoice("none"))
        answer, _ = ask(client, request, target)
    assert json.loads(text(answer)) == {"level": 3} and answer.finished.reason == "stop"


def test_a_search(client):
    request = asked("[[search:cats é]]", tools=(WebSearchTool(),))
    answer, _ = ask(client, request)
    message = next(item for item in answer.items if isinstance(item, Message))
    cited = [message.parts[0].text[one.start : one.end] for one in message.parts[0].citations]
    assert cited == ["According to the news, cats é is well known.", " The encyclopedia agrees about cats é."]
    assert [one.url for one in message.parts[0].citations] == [
        "https://news.example.com/one",
        "https://wiki.example.org/two",
    ]
    search = next(item for item in answer.items if isinstance(item, ToolCall))
    assert json.loads(search.arguments)["query"] == "cats é"
    assert answer.usage.web_searches == 1 and answer.usage.input_total > 104
    # What was searched does not go back, and the vendor takes the history without it.
    ask(client, asked(*request.items, *answer.items, "And?", tools=(WebSearchTool(),)))


@pytest.mark.parametrize(
    ("directive", "sampling", "reason", "raw"),
    [
        ("[[say:one two three four]]", Sampling(max_tokens=2), "length", "MAX_TOKENS"),
        ("[[say:one STOP two]]", Sampling(stop=("STOP",)), "stop", "STOP"),
        ("[[filter]][[say:x]]", Sampling(), "content_filter", "SAFETY"),
        ("[[finish:RECITATION]][[say:x]]", Sampling(), "content_filter", "RECITATION"),
        ("[[empty]]", Sampling(), "stop", "STOP"),
    ],
)
def test_why_it_ended(client, directive, sampling, reason, raw):
    answer, _ = ask(client, asked(directive, sampling=sampling))
    assert (answer.finished.reason, answer.finished.raw) == (reason, raw)


def test_logprobs(client):
    answer, _ = ask(client, asked("[[say:a b]]", sampling=Sampling(logprobs=True, top_logprobs=2)), FLASH_25)
    logprobs = answer.items[0].parts[0].logprobs
    assert [one.token for one in logprobs] == ["a", " b"] and len(logprobs[0].top) == 2


def test_cached_tokens_are_counted_once(client):
    request = asked("word " * 1500)
    first, _ = ask(client, request, FLASH_25)
    second, _ = ask(client, request, FLASH_25)
    assert (first.usage.cache_read, second.usage.cache_read > 1024) == (0, True)
    assert first.usage.input_total == second.usage.input_total


@pytest.mark.parametrize(
    ("fault", "code"),
    [("error-after:2", "UNAVAILABLE"), ("error-first", "UNAVAILABLE"), ("junk-after:1", "invalid_stream")],
)
def test_streams_that_break(client, fault, code):
    answer, _ = ask(client, asked(f"[[{fault}]][[say:one two three four]]"))
    assert answer.error.code == code and answer.finished is None


def test_an_unknown_event_is_passed_over(client):
    assert text(ask(client, asked("[[novel]][[say:one two three]]"))[0]) == "one two three"


@settings(deadline=None, max_examples=60)
@given(requests())
def test_the_vendor_takes_whatever_we_write(items):
    _takes(items)


def _takes(request: Request):
    with TestClient(create_app()) as client:
        for target in (FLASH_3, FLASH_25):
            quirks = target.quirks | {"media_urls"}
            fetching = type(target)(
                target.provider, target.model, efforts=target.efforts, thinking=target.thinking, quirks=quirks
            )
            answer, _ = ask(client, request, fetching)
            assert answer.finished is not None


def sdk(url, *, vertex):
    options = types.HttpOptions(base_url=url + "/vertex")
    if vertex:
        credentials = Credentials("token")
        return genai.Client(
            vertexai=True, project="p", location="global", credentials=credentials, http_options=options
        )
    return genai.Client(api_key="key", http_options=options)


@pytest.fixture(scope="module")
def server():
    with serve() as running:
        yield running


@pytest.mark.parametrize("vertex", [False, True])
def test_the_sdk_takes_the_answers(server, vertex):
    client = sdk(server.url, vertex=vertex)
    whole = client.models.generate_content(model="gemini-2.5-flash", contents="Hello")
    assert whole.text == "You said: Hello." and whole.usage_metadata.total_token_count == 9
    chunks = list(client.models.generate_content_stream(model="gemini-3-flash-preview", contents="Hello"))
    assert "".join(chunk.text or "" for chunk in chunks) == "You said: Hello."
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    assert chunks[-1].candidates[0].content.parts[0].thought_signature
    counted = client.models.count_tokens(model="gemini-2.5-flash", contents="Hello")
    assert counted.total_tokens == whole.usage_metadata.prompt_token_count


@pytest.mark.parametrize("vertex", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_the_sdks_own_tool_loop(server, vertex, stream):
    def get_weather(city: str) -> str:
        """The weather."""
        return f"sun in {city}"

    # The client closes its connections when it is collected.
    client = sdk(server.url, vertex=vertex)
    chat = client.chats.create(model="gemini-3-flash-preview", config=types.GenerateContentConfig(tools=[get_weather]))
    if stream:
        said = "".join(chunk.text or "" for chunk in chat.send_message_stream("get_weather please"))
    else:
        said = chat.send_message("get_weather please").text
    assert "sun in example" in said


def test_the_sdk_reads_the_errors(server):
    client = sdk(server.url, vertex=False)
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model="gemini-2.5-flash", contents="[[fail:429 retry-after=7]]")
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
    error = read_error(429, json.dumps(caught.value.details).encode(), {})
    assert error.retry_after == 7


def part(**fields):
    return {"contents": [{"role": "user", "parts": [fields]}]}


SAID = part(text="x")["contents"]
CALL = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}
ANSWERED = {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}
DECLARED = {"functionDeclarations": [{"name": "f"}]}
REFUSED = [
    ({}, "contents is not specified"),
    ({"contents": []}, "contents is not specified"),
    ({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "valid role"),
    ({"contents": [{"role": "user", "parts": []}]}, "must not be empty"),
    (part(text=""), "must have a text parameter"),
    (part(thought=True), "required oneof field 'data'"),
    (part(text="x", inlineData={"mimeType": "image/png", "data": "AA=="}), "oneof field 'data' is already set"),
    (part(inlineData={"mimeType": "image/gif", "data": "AA=="}), "Unsupported MIME type"),
    (part(inlineData={"mimeType": "image/png", "data": "?"}), "Base64 decoding failed"),
    (part(fileData={"fileUri": "http://x/a.png", "mimeType": "image/png"}), "unsupported file uri"),
    ({"contents": SAID, "stream": True}, 'Unknown name "stream": Cannot find field'),
    ({"contents": SAID, "generationConfig": {"max_tokens": 1}}, "Unknown name \"max_tokens\" at 'generation_config'"),
    ({"contents": SAID, "generationConfig": {"temperature": 2.5}}, "supported range"),
    ({"contents": SAID, "generationConfig": {"temperature": "hot"}}, "TYPE_FLOAT"),
    ({"contents": SAID, "generationConfig": {"maxOutputTokens": 0}}, "supported range"),
    ({"contents": SAID, "generationConfig": {"stopSequences": list("abcdef")}}, "stop sequences"),
    ({"contents": SAID, "generationConfig": {"candidateCount": 2}}, "Multiple candidates"),
    ({"contents": SAID, "generationConfig": {"presencePenalty": 1}}, "Penalty is not enabled"),
    ({"contents": SAID, "generationConfig": {"logprobs": 1}}, "response_logprobs"),
    ({"contents": SAID, "generationConfig": {"responseSchema": {"type": "STRING"}}}, "mime type"),
    ({"contents": SAID, "generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}}, "level is not supported"),
    ({"contents": SAID, "generationConfig": {"thinkingConfig": {"thinkingBudget": 99_999}}}, "between 1 and 24576"),
    (
        {"contents": SAID, "generationConfig": {"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "LOW"}}},
        "only one of thinking budget",
    ),
    ({"contents": SAID, "tools": [DECLARED, {"googleSearch": {}}]}, "Tool use with function calling"),
    ({"contents": SAID, "tools": [DECLARED, DECLARED]}, "Multiple tools"),
    ({"contents": SAID, "tools": [{"functionDeclarations": [{"name": "2f"}]}]}, "Invalid function name"),
    ({"contents": SAID, "tools": [{"functionDeclarations": [{"name": "f"}, {"name": "f"}]}]}, "Duplicate"),
    (
        {"contents": SAID, "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"$ref": "#/x"}}]}]},
        "Unknown name \"$ref\" at 'tools[0].function_declarations[0].parameters'",
    ),
    (
        {"contents": SAID, "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}]},
        "should be non-empty for OBJECT type",
    ),
    (
        {"contents": SAID, "tools": [DECLARED], "generationConfig": {"responseMimeType": "application/json"}},
        "Function calling with a response mime type",
    ),
    (
        {
            "contents": SAID,
            "tools": [DECLARED],
            "toolConfig": {"functionCallingConfig": {"allowedFunctionNames": ["f"]}},
        },
        "allowed_function_names",
    ),
    ({"contents": [*SAID, CALL]}, "followed by a function response turn"),
    ({"contents": [CALL, ANSWERED]}, "immediately after a user turn"),
    ({"contents": [*SAID, ANSWERED]}, "immediately after a function call turn"),
    ({"contents": [*SAID, CALL, {**ANSWERED, "parts": ANSWERED["parts"] * 2}]}, "number of function response parts"),
]


@pytest.mark.parametrize(("body", "words"), REFUSED, ids=range(len(REFUSED)))
def test_the_simulation_is_as_strict_as_the_vendor(client, body, words):
    answer = client.post(f"{KEYED}gemini-2.5-flash:generateContent", json=body, headers={"x-goog-api-key": "k"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert words in error["message"]


def test_keys_models_and_paths(client):
    def post(path, **headers):
        return client.post(path, json={"contents": SAID}, headers=headers)

    assert post(f"{KEYED}gemini-2.5-flash:generateContent").status_code == 403
    wrong = post(f"{KEYED}gemini-2.5-flash:generateContent", **{"x-goog-api-key": "invalid"})
    assert read_error(wrong.status_code, wrong.content, {}).code == "invalid_api_key"
    assert post(f"{VERTEX}gemini-2.5-flash:generateContent").status_code == 401
    assert post(f"{VERTEX}gemini-2.5-flash:generateContent", authorization="Bearer invalid").status_code == 401
    missing = post(f"{VERTEX}gpt-4:generateContent", **AUTH)
    assert read_error(missing.status_code, missing.content, {}).code == "model_not_found"
    assert post("/vertex/v1/nothing", **AUTH).status_code == 404
    listed = post(f"{VERTEX}gpt-4:streamGenerateContent", **AUTH)
    assert isinstance(listed.json(), list) and read_error(404, listed.content, {}).code == "model_not_found"
    array = post(f"{VERTEX}gemini-2.5-flash:streamGenerateContent", **AUTH).json()
    assert array[-1]["candidates"][0]["finishReason"] == "STOP"
    forged = [{"role": "model", "parts": [{"text": "x", "thoughtSignature": "AAAA"}]}]
    refused = client.post(
        f"{VERTEX}{FLASH_3.model}:generateContent", json={"contents": [*SAID, *forged, *SAID]}, headers=AUTH
    )
    assert "Corrupted thought signature" in refused.text
