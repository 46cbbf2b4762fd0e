"""Neutral requests as bodies for Gemini: settings, thinking, and the whole against the vendor's SDK."""

import base64
import json

import httpx
import pytest
from google import genai
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st

from dev.simulated_providers.gemini_request import camelized
from headgate.conversation import (
    Caching,
    Media,
    Message,
    Output,
    Reasoning,
    Refusal,
    Sampling,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from headgate.protocols.contract import Target
from headgate.protocols.gemini.upstream_request import write_request
from headgate.protocols.gemini.upstream_turns import SKIP_SIGNATURE
from tests.strategies import PNG, conversations
from tests.unit.gemini_support import (
    CITY,
    FLASH_3,
    FLASH_20,
    FLASH_25,
    PRO_25,
    WEATHER,
    asked,
    body,
    call,
    losses,
    made,
    result,
    said,
    user,
)


def test_the_least_request():
    assert write_request(asked("Hi"), FLASH_3) == ({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}, [])


def test_sampling():
    sampling = Sampling(
        max_tokens=9, temperature=0.5, top_p=0.9, top_k=40, stop=("a", "", "b"), seed=7, logprobs=True, top_logprobs=2
    )
    assert write_request(asked(sampling=sampling), FLASH_3)[1] == []
    assert body(asked(sampling=sampling))["generationConfig"] == {
        "maxOutputTokens": 9,
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "seed": 7,
        "stopSequences": ["a", "b"],
        "responseLogprobs": True,
        "logprobs": 2,
    }


KNOBS = [
    (Sampling(temperature=2.5), {"temperature": 2.0}, ("temperature", "clamped")),
    (Sampling(stop=tuple("abcdef")), {"stopSequences": list("abcde")}, ("stop", "unsupported_value")),
    (Sampling(seed=2**40), None, ("seed", "unsupported_value")),
    (Sampling(max_tokens=0), {"maxOutputTokens": 1}, ("max_tokens", "clamped")),
    (Sampling(logit_bias={"1": 2}), None, ("logit_bias", "unsupported_parameter")),
    (Sampling(frequency_penalty=2.0), {"frequencyPenalty": 1.99}, ("frequency_penalty", "clamped")),
]


@pytest.mark.parametrize(("sampling", "sent", "loss"), KNOBS, ids=range(len(KNOBS)))
def test_knobs_beyond_the_vendors_bounds_are_announced(sampling, sent, loss):
    target = Target("vertex", "gemini-2.0-flash")
    written, lost = write_request(asked(sampling=sampling), target)
    assert written.get("generationConfig") == sent and [(each.path, each.code) for each in lost] == [loss]


def test_knobs_the_model_lacks_are_announced():
    poor = Target("vertex", "gemini-x", max_output_tokens=100, features=frozenset(), quirks=frozenset({"no_penalties"}))
    sampling = Sampling(
        max_tokens=500, temperature=0.5, top_p=1, presence_penalty=1, frequency_penalty=0, logprobs=True
    )
    written, lost = write_request(asked(sampling=sampling), poor)
    assert written["generationConfig"] == {"maxOutputTokens": 100}
    assert {loss.path for loss in lost} == {"max_tokens", "temperature", "presence_penalty", "logprobs"}


def test_what_has_no_counterpart_is_announced():
    marked = Message("user", (Text("x", extra={"messages": {"cache_control": {"type": "ephemeral"}}}),))
    request = asked(
        marked,
        user="me",
        choices=2,
        max_tool_calls=3,
        output=Output(verbosity="low", modalities=("text", "audio"), audio={"voice": "x"}, prediction={"a": 1}),
        caching=Caching(key="k", retention="24h"),
        extra={"responses": {"truncation": "auto"}},
    )
    assert {path for path, _ in losses(request)} == {
        "user",
        "n",
        "max_tool_calls",
        "text.verbosity",
        "modalities",
        "audio",
        "prediction",
        "prompt_cache_retention",
        "cache_control",
        "truncation",
    }


THINKING = [
    (FLASH_3, Thinking(), None, None),
    (FLASH_3, Thinking(effort="low"), {"thinkingLevel": "LOW", "includeThoughts": True}, None),
    (FLASH_3, Thinking(effort="xhigh"), {"thinkingLevel": "HIGH", "includeThoughts": True}, "effort_adjusted"),
    (FLASH_3, Thinking(effort="none"), {"thinkingLevel": "MINIMAL"}, "effort_adjusted"),
    (FLASH_3, Thinking(mode="disabled"), {"thinkingLevel": "MINIMAL"}, "effort_adjusted"),
    (FLASH_3, Thinking(mode="enabled", budget=3000), {"thinkingLevel": "HIGH", "includeThoughts": True}, None),
    (FLASH_3, Thinking(mode="adaptive"), {"includeThoughts": True}, None),
    (FLASH_3, Thinking(effort="low", display="omitted"), {"thinkingLevel": "LOW"}, None),
    (FLASH_25, Thinking(effort="high"), {"thinkingBudget": 4096, "includeThoughts": True}, None),
    (FLASH_25, Thinking(effort="none"), {"thinkingBudget": 0}, None),
    (FLASH_25, Thinking(mode="adaptive"), {"thinkingBudget": -1, "includeThoughts": True}, None),
    (FLASH_25, Thinking(budget=99_999), {"thinkingBudget": 24_576, "includeThoughts": True}, "clamped"),
    (PRO_25, Thinking(mode="disabled"), {"thinkingBudget": 128}, "effort_adjusted"),
    (PRO_25, Thinking(budget=30_000), {"thinkingBudget": 30_000, "includeThoughts": True}, None),
    (FLASH_20, Thinking(effort="high"), None, "thinking_dropped"),
    (FLASH_20, Thinking(effort="none"), None, None),
]


@pytest.mark.parametrize(("target", "thinking", "sent", "code"), THINKING, ids=range(len(THINKING)))
def test_thinking(target, thinking, sent, code):
    written, lost = write_request(asked(thinking=thinking), target)
    assert written.get("generationConfig", {}).get("thinkingConfig") == sent
    assert [loss.code for loss in lost] == ([code] if code else [])


def test_a_budget_leaves_room_for_the_answer():
    request = asked(thinking=Thinking(effort="high"), sampling=Sampling(max_tokens=1000))
    assert body(request, FLASH_25)["generationConfig"]["thinkingConfig"]["thinkingBudget"] == 500


def test_the_prefix_is_stable():
    first = asked(user("One"), tools=(WEATHER,), instructions=(Text("Be brief."),))
    longer = asked(user("One"), said("1"), user("Two"), tools=(WEATHER,), instructions=(Text("Be brief."),))
    one, two = json.dumps(body(first)), json.dumps(body(longer))
    assert one[: one.index("One")] == two[: two.index("One")]
    assert list(body(longer)) == ["systemInstruction", "tools", "contents"]


def checked(written):
    """Validate a body against the SDK's own types, which allow no unknown field."""
    for content in written["contents"]:
        types.Content.model_validate(content)
    if "systemInstruction" in written:
        types.Content.model_validate(written["systemInstruction"])
    for tool in written.get("tools", ()):
        types.Tool.model_validate(tool)
    types.ToolConfig.model_validate(written.get("toolConfig", {}))
    types.GenerationConfig.model_validate(written.get("generationConfig", {}))
    assert written.keys() <= {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig"}


def spoken(items):
    """What a conversation says, in order: the same walk over the neutral form as ``heard`` over the wire's."""
    found = []
    for item in items:
        if isinstance(item, Message):
            for part in item.parts:
                if isinstance(part, Text | Refusal):
                    found.append((item.role, part.text))
                elif isinstance(part, Media):
                    found.append((item.role, part.data))
        elif isinstance(item, ToolCall):
            found.append(("call", item.call_id, item.name, json.loads(item.arguments)))
        elif isinstance(item, ToolResult):
            texts = "\n".join(part.text for part in item.parts if isinstance(part, Text))
            media = [part.data for part in item.parts if isinstance(part, Media)]
            found.append(("result", item.call_id, bool(item.is_error), texts, media))
    return found


def heard(written):
    found = [("system", part["text"]) for part in written.get("systemInstruction", {}).get("parts", ())]
    for content in written["contents"]:
        role = {"user": "user", "model": "assistant"}[content["role"]]
        for part in content["parts"]:
            if "functionCall" in part:
                one = part["functionCall"]
                found.append(("call", one["id"], one["name"], one["args"]))
            elif "functionResponse" in part:
                one = part["functionResponse"]
                media = [each["inlineData"]["data"] for each in one.get("parts", ())]
                text = one["response"].get("output", one["response"].get("error"))
                found.append(("result", one["id"], "error" in one["response"], text, media))
            elif "inlineData" in part:
                found.append((role, part["inlineData"]["data"]))
            elif not part.get("thought") and part["text"]:
                found.append((role, part["text"]))
    return found


def as_data(item):
    if isinstance(item, Message | ToolResult):
        parts = tuple(
            Media(part.kind, data=PNG, media_type="image/png") if isinstance(part, Media) and part.url else part
            for part in item.parts
        )
        return type(item)(**{**{name: getattr(item, name) for name in item.__slots__}, "parts": parts})
    return item


SEALS = st.builds(
    made,
    st.binary(min_size=3, max_size=9).map(lambda raw: base64.b64encode(raw).decode()),
    st.sampled_from(["signature", "encrypted"]),
)


@settings(deadline=None, max_examples=80)
@given(conversations(seals=SEALS))
def test_any_conversation_says_the_same_on_the_wire(items):
    items = tuple(as_data(item) for item in items)
    written, lost = write_request(asked(*items, tools=(WEATHER,)), FLASH_3)
    checked(written)
    roles = {"developer": "system"}
    expected = [(roles.get(each[0], each[0]), *each[1:]) for each in spoken(items)]
    assert heard(written) == expected
    assert lost == []
    seals = [item.sealed.data for item in items if isinstance(item, Reasoning) and item.sealed]
    sent = [part.get("thoughtSignature") for turn in written["contents"] for part in turn["parts"]]
    assert [each for each in sent if each and each != SKIP_SIGNATURE] == seals


def sdk_body(contents, **fields):
    """The body that the vendor's own SDK makes."""
    sent = []

    def answer(request):
        sent.append(json.loads(request.content))
        return httpx.Response(200, json={"candidates": []})

    client = genai.Client(
        vertexai=False,
        api_key="k",
        http_options=types.HttpOptions(httpx_client=httpx.Client(transport=httpx.MockTransport(answer))),
    )
    client.models.generate_content(model="gemini-3", contents=contents, config=types.GenerateContentConfig(**fields))
    return sent[0]


def test_the_sdk_makes_the_same_request_of_the_same_conversation():
    request = asked(
        user("Look", Media("image", data=PNG)),
        call("a", sealed=made("U0lHU0lH")),
        call("b", arguments='{"city":"Tokyo"}'),
        result("a", "sun"),
        result("b", "rain"),
        user("And?"),
        instructions=(Text("Be brief."),),
        tools=(WEATHER,),
        tool_choice=ToolChoice("named", (("function", "get_weather"),)),
        sampling=Sampling(max_tokens=9, temperature=0.5, top_p=0.9, top_k=4, stop=("x",), seed=1),
        thinking=Thinking(effort="low"),
    )

    def function_call(call_id, city, signature=None):
        one = types.FunctionCall(id=call_id, name="get_weather", args={"city": city})
        return types.Part(function_call=one, thought_signature=signature)

    def response(call_id, output):
        one = types.FunctionResponse(id=call_id, name="get_weather", response={"output": output})
        return types.Part(function_response=one)

    image = types.Part.from_bytes(data=base64.b64decode(PNG), mime_type="image/png")
    theirs = sdk_body(
        [
            types.Content(role="user", parts=[types.Part(text="Look"), image]),
            types.Content(
                role="model",
                parts=[function_call("a", "Paris", base64.b64decode("U0lHU0lH")), function_call("b", "Tokyo")],
            ),
            types.Content(role="user", parts=[response("a", "sun"), response("b", "rain"), types.Part(text="And?")]),
        ],
        system_instruction=types.Content(parts=[types.Part(text="Be brief.")]),
        tools=[
            types.Tool(
                function_declarations=[
                    types.FunctionDeclaration(
                        name="get_weather", description="The weather.", parameters_json_schema=CITY
                    )
                ]
            )
        ],
        tool_config=types.ToolConfig(
            function_calling_config=types.FunctionCallingConfig(
                mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["get_weather"]
            )
        ),
        temperature=0.5,
        top_p=0.9,
        top_k=4,
        max_output_tokens=9,
        stop_sequences=["x"],
        seed=1,
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_level=types.ThinkingLevel.LOW),
    )
    # The SDK writes some names in snake case, and bytes in the other alphabet of base64.
    theirs = camelized(json.loads(json.dumps(theirs).replace(PNG.replace("+", "-").replace("/", "_"), PNG)))
    assert theirs == body(request)
