"""Finds the two sides of a protocol by its name, importing a module only when a request needs it.

A Lambda function that serves one frontend must not pay at cold start for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Protocol

from headgate.conversation import Media, Request
from headgate.errors import GatewayError
from headgate.events import Event
from headgate.fold import Answer
from headgate.losses import Loss
from headgate.protocols.contract import Reply, Target, Unseal
from headgate.protocols.names import NameMap
from headgate.protocols.sse import EventSplitter
from headgate.usage import Usage


class Writer(Protocol):
    """A frontend's stream writer: events in, SSE bytes out; ``body`` is the answer as one JSON object."""

    def write(self, event: Event) -> bytes: ...
    def body(self) -> dict[str, Any]: ...


class Splitter(Protocol):
    """Cuts an upstream's bytes into its events, (name, data) each, wherever the network split them. What cannot be
    cut raises ValueError; ``rest`` is called once, when the bytes are over."""

    def feed(self, chunk: bytes) -> list[tuple[str | None, bytes]]: ...
    def rest(self) -> list[tuple[str | None, bytes]]: ...


class Reader(Protocol):
    """An upstream's stream reader: its events, as the splitter cut them, in; neutral events out."""

    def read(self, event: str | None, data: bytes) -> list[Event]: ...
    def end(self) -> list[Event]: ...


class Relay(Protocol):
    """A pass-through with a reader on the side (see ``contract``)."""

    usage: Usage
    finish: str | None
    body: dict[str, Any] | None
    error: GatewayError | None
    saw_output: bool
    done: bool

    def feed(self, frame: bytes) -> bytes: ...
    def fail(self, error: GatewayError) -> bytes: ...
    def end(self) -> bytes: ...
    def json(self, raw: bytes) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class ClientSide:
    """What a frontend needs of its protocol."""

    read_request: Callable[[Mapping[str, Any], Unseal], tuple[Request, list[Loss]]]
    write_answer: Callable[[Answer, Reply], dict[str, Any]]
    writer: Callable[[Reply], Writer]


@dataclass(frozen=True, slots=True)
class UpstreamSide:
    """What a call to a provider needs of its protocol. ``splitter`` makes the splitter of one answer.
    ``needs_data``: whether media that a request names by a web address must go to the target as data."""

    write_request: Callable[..., tuple[dict[str, Any], list[Loss]]]
    reader: Callable[..., Reader]
    reader_options: Callable[[Request, Target], dict[str, Any]]
    read_error: Callable[[int, bytes, Mapping[str, str]], GatewayError]
    splitter: Callable[[], Splitter]
    needs_data: Callable[[Media, Target], bool]


@dataclass(frozen=True, slots=True)
class RelaySide:
    """What the pass-through needs of its protocol. ``said`` gives the strings of the answer in one of its events,
    ``suits`` whether a body can go to a target as it is."""

    prepare: Callable[..., tuple[dict[str, Any], list[Loss]]]
    relay: Callable[[Reply, Target], Relay]
    said: Callable[[Mapping[str, Any]], Iterable[object]]
    suits: Callable[[Mapping[str, Any], Target], bool]


@cache
def client_side(protocol: str) -> ClientSide:
    """The frontend half of ``protocol``."""
    return ClientSide(
        read_request=_module(protocol, "client_request").read_request,
        write_answer=_module(protocol, "client_answer").write_answer,
        writer=_module(protocol, "client_stream").StreamWriter,
    )


@cache
def upstream_side(protocol: str) -> UpstreamSide:
    """The provider half of ``protocol``."""
    stream, request = _module(protocol, "upstream_stream"), _module(protocol, "upstream_request")
    return UpstreamSide(
        write_request=request.write_request,
        reader=stream.StreamReader,
        reader_options=getattr(request, "reader_options", _no_options),
        read_error=_module(protocol, "errors").read_error,
        # All stream server-sent events but Bedrock, which names a splitter of its own.
        splitter=getattr(stream, "Splitter", EventSplitter),
        needs_data=getattr(request, "needs_data", _fetches_all),
    )


@cache
def relay_side(protocol: str) -> RelaySide:
    """The pass-through of ``protocol``."""
    module = _module(protocol, "relay")
    own = getattr(module, "suits", _suits)

    def suits(body: Mapping[str, Any], target: Target) -> bool:
        return _names_fit(protocol, body) and own(body, target)

    return RelaySide(prepare=module.prepare, relay=module.Relay, said=module.said, suits=suits)


def error_body(protocol: str, error: GatewayError, request_id: str | None) -> dict[str, Any]:
    """``error`` in the envelope of ``protocol``."""
    return _module(protocol, "errors").error_body(error, request_id)


def tool_names(protocol: str) -> NameMap:
    """A fresh map for one request: tool names as ``protocol`` takes them."""
    return NameMap(128 if protocol == "messages" else 64)


def _names_fit(protocol: str, body: Mapping[str, Any]) -> bool:
    """Whether the vendor takes the tools' names as they are; only a translation can rewrite and restore them."""
    names = tool_names(protocol)
    tools = (tool for tool in body.get("tools") or () if isinstance(tool, Mapping))
    named = (tool.get("name") or (tool.get("function") or {}).get("name") for tool in tools)
    return all(not isinstance(name, str) or names.takes(name) for name in named)


def _suits(body: Mapping[str, Any], target: Target) -> bool:
    return True


def _no_options(request: Request, target: Target) -> dict[str, Any]:
    return {}


def _fetches_all(media: Media, target: Target) -> bool:
    return False


def _module(protocol: str, name: str) -> Any:
    return import_module(f"headgate.protocols.{protocol}.{name}")
