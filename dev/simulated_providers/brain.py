"""What a simulated model says. Deterministic: the same request always gets the same plan.

Without a directive the answer proves understanding: "You said: …. I see 1 image, 2 tool results." An output schema is
answered with a valid instance, a required or named tool is called with arguments that satisfy its schema, a tool that
the last user text mentions by name is called too, and after tool results the answer quotes them.

Directives stand in the last user message, in the header ``x-simulate``, in the model's name, or are set beforehand by
``POST /_behave`` (server.py). ``[[@openai …]]``, ``[[@anthropic …]]``, ``[[@gemini …]]``, ``[[@bedrock …]]``,
``[[@cohere …]]`` and the names of the dialects (``[[@xai …]]``) hold for that vendor only.

What to say, in the order written:
    [[say:TEXT]]             this text
    [[think:TEXT]]           this thought, where the request lets the model think
    [[think-signed]]         a thought of which only the signature is given
    [[think-redacted]]       a thought that is given encrypted only
    [[tool:NAME {"a":1}]]    this call; several are parallel; without arguments they are made from the tool's schema
    [[search:QUERY]]         a web search, then a sentence that cites its results (needs the vendor's search tool)
    [[refuse:TEXT]]          a refusal
    [[tokens:N]]             a text of exactly N tokens, which streams as N deltas
    [[json]] [[json:{…}]]    a JSON object as the text
    [[echo-system]]          the system texts it was given, a line each
    [[history]]              the whole conversation it was given, a line an item (see ``described``)
    [[empty]]                nothing at all

How:
    [[then:TEXT]]            the answer to the tool results that follow (the steps above are not repeated then)
    [[tools-interleaved]]    argument fragments of parallel calls alternate, where the protocol can
    [[tools-whole]]          every call arrives in one piece
    [[filter]]               the answer is stopped by a content filter
    [[finish:WORD]]          the vendor's own stop or finish reason, as ``pause_turn``
    [[usage:{"a":1}]]        these fields of the vendor's own usage object, instead of what was counted

Faults:
    [[fail:429 retry-after=7 message=TEXT]]   this status instead of an answer; options: retry-after, type, code, html
    [[slow-headers:S]]       S seconds before the status line
    [[slow-first:S]]         S seconds between the status line and the first byte
    [[slow:S]]               S seconds between events, each flushed alone
    [[cut-after:N]]          the TCP connection is reset after N deltas (a JSON answer: halfway)
    [[silent-after:N S]]     nothing after N deltas; the connection stays open for S seconds (default 120)
    [[error-after:N]]        the vendor's error event after N deltas
    [[error-first]]          HTTP 200 whose first event is an error
    [[junk-after:N]]         a frame that is not JSON after N deltas, then on as usual
    [[novel]]                an event of an unknown type after the first delta
"""

from __future__ import annotations

import json
import re

from . import directives as parsing
from .directives import Directive
from .instances import instance
from .reading import Call, Citation, Faults, Heard, Item, Plan, Refuse, Say, Search, Step, Thought, Tool
from .tokens import count, filler, split

DEFAULT_THOUGHT = "The user wants an answer. I will give a short one."


def plan(heard: Heard, outside: str = "") -> Plan:
    """The plan for a request; ``outside`` holds directives from elsewhere than the conversation."""
    last, results = _last_turn(heard.items)
    found, said = parsing.extract("\n".join(last.texts) if last else "", heard.protocol)
    found = parsing.extract(outside, heard.protocol)[0] + found
    if last and last.texts:
        # What the user says is the last text block: clients put reminders before it.
        said = parsing.extract(last.texts[-1], heard.protocol)[1]
    chosen = Plan(faults=parsing.faults(found))
    names = {one.name for one in found}
    chosen.interleaved = "tools-interleaved" in names
    chosen.whole_calls = "tools-whole" in names
    chosen.steps = _steps(heard, found, said, results, last)
    _limit_calls(heard, chosen)
    _finish(heard, chosen, found)
    told = next((one.argument for one in found if one.name == "usage"), None)
    chosen.usage = json.loads(told) if told else {}
    return chosen


def outside_faults(outside: str, vendor: str) -> Faults:
    """The faults for a request that has no conversation to find directives in."""
    return parsing.faults(parsing.extract(outside, vendor)[0])


def _last_turn(items: list[Item]) -> tuple[Item | None, list[Item]]:
    """The last user message, and the tool results after it."""
    results: list[Item] = []
    for item in reversed(items):
        if item.kind == "result":
            results.append(item)
        elif item.kind == "message" and item.role == "user":
            return item, results[::-1]
    return None, results[::-1]


def _steps(heard: Heard, found: list[Directive], said: str, results: list[Item], last: Item | None) -> list[Step]:
    spoken = [one for one in found if one.name in parsing.SPOKEN]
    if results:
        thoughts = [one for one in spoken if one.name.startswith("think")]
        then = next((one.argument for one in found if one.name == "then"), None)
        steps = _spoken(heard, thoughts, said)
        answer = _forced(heard) or _shaped(heard) or [Say(_quoted(heard, results) if then is None else then)]
        return _thinking(heard, steps) + answer
    steps = _spoken(heard, spoken, said)
    if any(not isinstance(step, Thought) for step in steps) or any(one.name == "empty" for one in spoken):
        if _must_call(heard) and not any(isinstance(step, Call | Search) for step in steps):
            steps += _forced(heard)
        return _thinking(heard, steps)
    steps = _thinking(heard, steps)
    return steps + (_forced(heard) or _mentioned(heard, said) or _shaped(heard) or [Say(_echo(heard, said, last))])


def _spoken(heard: Heard, spoken: list[Directive], said: str) -> list[Step]:
    steps: list[Step] = []
    for one in spoken:
        match one.name:
            case "say":
                steps.append(Say(one.argument))
            case "think" if heard.thinks:
                steps.append(Thought(one.argument or DEFAULT_THOUGHT))
            case "think-signed" if heard.thinks:
                steps.append(Thought(one.argument or DEFAULT_THOUGHT, "signed"))
            case "think-redacted" if heard.thinks:
                steps.append(Thought(one.argument or DEFAULT_THOUGHT, "redacted"))
            case "tool" if heard.tools and heard.choice != "none":
                steps.append(_call(heard, one.argument))
            case "search" if any(tool.kind == "web_search" for tool in heard.tools):
                steps += _search(one.argument)
            case "refuse":
                steps.append(Refuse(one.argument or "I can't help with that."))
            case "tokens":
                steps.append(Say(filler(int(one.argument))))
            case "json":
                steps.append(Say(one.argument or json.dumps({"said": said, "seen": _seen(heard.items)})))
            case "echo-system":
                steps.append(Say("\n".join(heard.system) or "(no system text)"))
            case "history":
                steps.append(Say(described(heard)))
            case _:
                continue
    return steps


def _thinking(heard: Heard, steps: list[Step]) -> list[Step]:
    if heard.thinks and not any(isinstance(step, Thought) for step in steps):
        return [Thought(DEFAULT_THOUGHT), *steps]
    return steps


def _must_call(heard: Heard) -> bool:
    return heard.choice in ("required", "named") and bool(heard.tools)


def _forced(heard: Heard) -> list[Step]:
    if not _must_call(heard):
        return []
    wanted = [tool for tool in heard.tools if heard.choice != "named" or tool.name == heard.choice_name]
    # The model's own choice falls on a client's tool before a search of the vendor's.
    wanted.sort(key=lambda tool: tool.kind not in ("function", "custom"))
    if not wanted or wanted[0].kind == "hosted":
        return []
    return _search("the question") if wanted[0].kind == "web_search" else [_made(wanted[0])]


def _mentioned(heard: Heard, said: str) -> list[Step]:
    if heard.choice == "none":
        return []
    return [
        _made(tool)
        for tool in heard.tools
        if tool.kind in ("function", "custom") and re.search(rf"(?<![\w-]){re.escape(tool.name)}(?![\w-])", said)
    ]


def _made(tool: Tool) -> Call:
    if tool.kind == "custom":
        return Call(tool.name, "simulated input", custom=True)
    return Call(tool.name, json.dumps(instance(tool.schema or {"type": "object"}), ensure_ascii=False))


def _call(heard: Heard, argument: str) -> Call:
    name, _, given = argument.strip().partition(" ")
    tool = next((one for one in heard.tools if one.name == name), Tool(name))
    made = _made(tool)
    return Call(name, given, custom=made.custom) if given else made


def _search(query: str) -> list[Step]:
    results = [
        ("https://news.example.com/one", f"News about {query}"),
        ("https://wiki.example.org/two", f"{query}, explained"),
    ]
    first, second = f"According to the news, {query} is well known.", f" The encyclopedia agrees about {query}."
    cited = [
        Citation(0, len(first), *results[0], cited=f"{query} is well known"),
        Citation(len(first), len(first) + len(second), *results[1], cited=f"the facts of {query}"),
    ]
    return [Search(query, results), Say(first + second, cited)]


def _shaped(heard: Heard) -> list[Step]:
    if heard.schema is None:
        return []
    schema = heard.schema or {"type": "object", "properties": {"said": {"type": "string"}}}
    return [Say(json.dumps(instance(schema), ensure_ascii=False))]


def _quoted(heard: Heard, results: list[Item]) -> str:
    called = {item.call_id: item.name for item in heard.items if item.kind == "call"}
    parts: list[str] = []
    for result in results:
        text = " ".join(result.texts)
        seen = f" [{', '.join(result.media)}]" if result.media else ""
        parts.append(
            f"{called.get(result.call_id, 'a tool')} {'failed with' if result.error else 'gave'}: {text}{seen}"
        )
    return "Tool results: " + "; ".join(parts) + "."


def _seen(items: list[Item]) -> str:
    amounts = {
        "image": sum(label.startswith("image") for item in items for label in item.media),
        "file": sum(label.startswith("file") for item in items for label in item.media),
        "audio clip": sum(label.startswith("audio") for item in items for label in item.media),
        "tool result": sum(item.kind == "result" for item in items),
    }
    messages = sum(item.kind == "message" for item in items)
    if messages > 1:
        amounts["message"] = messages
    return ", ".join(f"{n} {what}{'s' if n > 1 else ''}" for what, n in amounts.items() if n)


def _echo(heard: Heard, said: str, last: Item | None) -> str:
    if last is None:
        return "You said nothing."
    seen = _seen(heard.items)
    return f"You said: {said}." + (f" I see {seen}." if seen else "")


def described(heard: Heard) -> str:
    """The conversation a line an item, in one form for every protocol.

    ``system: …``, ``user: …``, ``assistant: …``, ``thought (sealed): …``, ``call NAME ARGUMENTS``, ``result of
    NAME: …``, ``search QUERY``; media in square brackets, a refusal and a failed result marked as such.
    """
    called = {item.call_id: item.name for item in heard.items if item.kind == "call"}
    lines = [f"system: {text}" for text in heard.system]
    for item in heard.items:
        text = " | ".join(item.texts)
        media = "".join(f" [{label}]" for label in item.media)
        match item.kind:
            case "message":
                lines.append(f"{item.role}{' (refusal)' if item.refused else ''}: {text}{media}")
            case "thought":
                lines.append(f"thought{' (sealed)' if item.sealed else ''}: {text}")
            case "call":
                lines.append(f"call {item.name} {item.arguments}")
            case "result":
                name = called.get(item.call_id, "an unknown call")
                lines.append(f"{'failed ' if item.error else ''}result of {name}: {text}{media}")
            case "search":
                lines.append(f"search {text}")
            case _:
                lines.append(f"({item.name})")
    return "\n".join(lines)


def _limit_calls(heard: Heard, chosen: Plan) -> None:
    """At most one call where parallel calls are switched off."""
    if not heard.parallel:
        calls = [step for step in chosen.steps if isinstance(step, Call)]
        chosen.steps = [step for step in chosen.steps if not isinstance(step, Call) or step is calls[0]]


def _finish(heard: Heard, chosen: Plan, found: list[Directive]) -> None:
    """Applies prefill, stop sequences and the token limit, and sets the reason why the answer ends."""
    if any(isinstance(step, Refuse) for step in chosen.steps):
        chosen.finish = "refusal"
    elif any(isinstance(step, Call) for step in chosen.steps):
        chosen.finish = "calls"
    if any(one.name == "filter" for one in found):
        chosen.finish = "filter"
    forced = next((one.argument for one in found if one.name == "finish"), None)
    if heard.stop:
        _stop(heard, chosen)
    if heard.limit is not None:
        _cut(heard.limit, chosen, spares_thoughts=heard.spares_thoughts)
    if forced:
        chosen.finish = forced


def _stop(heard: Heard, chosen: Plan) -> None:
    for index, step in enumerate(chosen.steps):
        if not isinstance(step, Say):
            continue
        met = [(step.text.find(stop), stop) for stop in heard.stop if stop and stop in step.text]
        if met:
            at, stop = min(met)
            step.text = step.text[:at]
            step.citations = [one for one in step.citations if one.end <= at]
            chosen.steps = chosen.steps[: index + 1]
            chosen.finish, chosen.stopped_by = "stop", stop
            return


def _cut(limit: int, chosen: Plan, *, spares_thoughts: bool) -> None:
    left = limit
    for index, step in enumerate(chosen.steps):
        if isinstance(step, Search) or (spares_thoughts and isinstance(step, Thought)):
            continue
        text = step.arguments if isinstance(step, Call) else step.text
        # A call's name is paid for too.
        spare = left - (count(step.name) if isinstance(step, Call) else 0)
        needed = count(text)
        if needed <= spare:
            left = spare - needed
            continue
        kept = "".join(split(text)[: max(spare, 0)])
        steps: list[Step] = chosen.steps[:index]
        if isinstance(step, Thought) and kept:
            steps.append(Thought(kept, step.look))
        elif isinstance(step, Call) and spare >= 0:
            steps.append(Call(step.name, kept, step.custom, whole=False))
        elif isinstance(step, Refuse) and kept:
            steps.append(Refuse(kept))
        elif isinstance(step, Say) and kept:
            steps.append(Say(kept, [one for one in step.citations if one.end <= len(kept)], whole=False))
        chosen.steps, chosen.finish, chosen.stopped_by = steps, "length", None
        return


def output_tokens(chosen: Plan) -> tuple[int, int]:
    """(all output tokens, those of thinking among them)."""
    thought = sum(count(step.text) for step in chosen.steps if isinstance(step, Thought))
    said = sum(count(step.text) for step in chosen.steps if isinstance(step, Say | Refuse))
    called = sum(count(step.name) + count(step.arguments) for step in chosen.steps if isinstance(step, Call))
    return thought + said + called, thought
