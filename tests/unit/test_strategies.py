"""The generated conversations keep the grammar that protocol tests rely on."""

from hypothesis import given

from headgate.conversation import Item, Request, ToolCall, ToolResult
from headgate.events import events_of
from headgate.fold import fold
from headgate.usage import Usage
from tests.strategies import answers, conversations, requests, usages


@given(conversations())
def test_every_result_follows_its_call(items: tuple[Item, ...]) -> None:
    open_calls: list[str] = []
    for item in items:
        if isinstance(item, ToolCall):
            assert item.call_id not in open_calls
            open_calls.append(item.call_id)
        elif isinstance(item, ToolResult):
            open_calls.remove(item.call_id)
    assert open_calls == []


@given(answers())
def test_an_answer_survives_its_own_event_stream(items: tuple[Item, ...]) -> None:
    assert items
    assert fold(events_of(items)).items == items


@given(requests(media=False))
def test_a_named_tool_is_offered(request: Request) -> None:
    if request.tool_choice and request.tool_choice.mode == "named":
        assert request.tool_choice.names[0][1] in {tool.name for tool in request.tools}  # type: ignore[union-attr]


@given(usages())
def test_usage_classes_lie_within_their_totals(usage: Usage) -> None:
    assert usage.cache_read + usage.cache_write + usage.input_fresh == usage.input_total
    assert usage.reasoning <= usage.output_total
