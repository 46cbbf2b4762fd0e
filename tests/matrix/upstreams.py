"""What reached a vendor: the same facts out of the request bodies of every upstream protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dev.simulated_providers.recorder import Recorded


@dataclass(frozen=True)
class Sent:
    """One request that a simulated vendor received. ``protocol`` is told by its path."""

    vendor: str
    protocol: str
    body: dict[str, Any]
    path: str
    text: str
    headers: dict[str, str]

    @property
    def limit(self) -> int | None:
        """The bound of the output."""
        body = self.body
        match self.protocol:
            case "responses":
                return body.get("max_output_tokens")
            case "chat_completions":
                both = [body[name] for name in ("max_completion_tokens", "max_tokens") if name in body]
                assert len(both) <= 1, "one of the two names"
                return both[0] if both else None
            case "gemini":
                return _config(body).get("maxOutputTokens")
            case "converse":
                return body.get("inferenceConfig", {}).get("maxTokens")
            case _:
                return body.get("max_tokens")

    @property
    def stop(self) -> list[str]:
        """The stop sequences."""
        body = self.body
        match self.protocol:
            case "gemini":
                return _config(body).get("stopSequences", [])
            case "converse":
                return body.get("inferenceConfig", {}).get("stopSequences", [])
            case "messages" | "cohere":
                return body.get("stop_sequences", [])
            case _:
                stop = body.get("stop") or []
                return [stop] if isinstance(stop, str) else stop

    @property
    def effort(self) -> Any:
        """How much the model shall think, as the vendor says it: a level, or a budget in tokens."""
        body = self.body
        match self.protocol:
            case "responses":
                return (body.get("reasoning") or {}).get("effort")
            case "chat_completions":
                return body.get("reasoning_effort")
            case "gemini":
                thinking = _config(body).get("thinkingConfig", {})
                return thinking.get("thinkingLevel") or thinking.get("thinkingBudget")
            case "cohere":
                return body.get("thinking", {}).get("token_budget")
            case _:
                own = body if self.protocol == "messages" else body.get("additionalModelRequestFields", {})
                level = own.get("output_config", {}).get("effort")
                return level or (own.get("thinking") or {}).get("budget_tokens")

    @property
    def schema(self) -> Any:
        """The schema of the structured output, wherever it stands; None where none was sent."""
        body = self.body
        match self.protocol:
            case "responses":
                return (body.get("text") or {}).get("format", {}).get("schema")
            case "chat_completions":
                return (body.get("response_format") or {}).get("json_schema", {}).get("schema")
            case "messages":
                return (body.get("output_config") or {}).get("format", {}).get("schema")
            case "gemini":
                return _config(body).get("responseJsonSchema") or _config(body).get("responseSchema")
            case "converse":
                return (body.get("outputConfig") or {}).get("textFormat", {}).get("structure")
            case _:
                return (body.get("response_format") or {}).get("json_schema")

    @property
    def offered(self) -> list[str]:
        """The names of the functions on offer."""
        found: list[str] = []
        tools = self.body.get("tools") or self.body.get("toolConfig", {}).get("tools") or []
        for tool in tools:
            for one in tool.get("functionDeclarations", [tool]):
                own = one.get("function") or one.get("toolSpec") or one
                if "name" in own:
                    found.append(own["name"])
        return found

    @property
    def cache_key(self) -> str:
        """The cache key that went along, in the body or in a header of the vendor's."""
        headers = [self.headers.get(name) for name in ("x-session-affinity", "x-grok-conv-id")]
        return self.body.get("prompt_cache_key") or next(filter(None, headers), "")

    @property
    def marks(self) -> int:
        """How many cache marks the request carries."""
        return sum(name in ("cache_control", "cachePoint") for holder in _walk(self.body) for name in holder)

    @property
    def seals(self) -> list[str]:
        """The vendor's own opaque bytes in the history, in order."""
        names = {
            "responses": ("encrypted_content",),
            "chat_completions": ("signature", "data", "thought_signature", "encrypted_content"),
            "messages": ("signature", "data"),
            "gemini": ("thoughtSignature",),
            "converse": ("signature", "redactedContent"),
            "cohere": (),
        }[self.protocol]
        holders = _walk([item for name in ("input", "messages", "contents") for item in self.body.get(name) or ()])
        return [holder[name] for holder in holders for name in names if isinstance(holder.get(name), str)]


def _config(body: Mapping[str, Any]) -> dict[str, Any]:
    return body.get("generationConfig", {})


def _walk(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every object in ``value``, media left out: their data is no state."""
    if isinstance(value, list):
        for each in value:
            yield from _walk(each)
    elif isinstance(value, dict):
        if value.get("type") in ("image", "document", "base64"):
            return
        yield value
        for each in value.values():
            yield from _walk(each)


_ENDS = (
    ("/responses", "responses"),
    ("/chat/completions", "chat_completions"),
    ("/v1/messages", "messages"),
    ("awPredict", "messages"),
    ("enerateContent", "gemini"),
    ("/converse-stream", "converse"),
    ("/converse", "converse"),
    ("/v2/chat", "cohere"),
)


def sent(recorded: Recorded) -> Sent:
    """The facts of one recorded request."""
    protocol = next(name for end, name in _ENDS if recorded.path.endswith(end))
    vendor = recorded.path.split("/")[1]
    return Sent(vendor, protocol, recorded.body, recorded.path, recorded.text, recorded.headers)
