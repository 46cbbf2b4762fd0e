"""Which ``anthropic-beta`` values the offers of Claude take, and which they need.

Anthropic takes any. The cloud platforms know fewer, each its own, and answer 400 to one that they do not know. Some
features that Anthropic has opened to all still need their beta on a platform.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headgate.providers.table import Protocol, Provider

_EVERYWHERE = ("computer-use-2025-01-24", "computer-use-2025-11-24", "context-1m-2025-08-07")
_MESSAGES = (*_EVERYWHERE, "context-management-2025-06-27", "interleaved-thinking-2025-05-14")

VERTEX_BETAS: Mapping[str, str] = {
    **{name: name for name in (*_MESSAGES, "compact-2026-01-12", "tool-search-tool-2025-10-19")},
    "web-search-2025-03-05": "web-search-2025-03-05",
    # Part of Anthropic's beta, under a name of its own.
    "advanced-tool-use-2025-11-20": "tool-search-tool-2025-10-19",
}
AZURE_BETAS: Mapping[str, str] = {
    name: name
    for name in (
        *_MESSAGES,
        "advanced-tool-use-2025-11-20",
        "code-execution-2025-08-25",
        "effort-2025-11-24",
        "files-api-2025-04-14",
        "mcp-client-2025-04-04",
        "mcp-client-2025-11-20",
        "prompt-caching-scope-2026-01-05",
        "skills-2025-10-02",
        "structured-outputs-2025-11-13",
        "web-fetch-2025-09-10",
        "web-search-2025-03-05",
    )
}
# Converse carries them in the body, and only those make sense there whose fields Converse has.
BEDROCK_BETAS: Mapping[str, str] = {
    name: name for name in ("context-1m-2025-08-07", "fine-grained-tool-streaming-2025-05-14")
}

_SEARCH = "web-search-2025-03-05"
_TOOL_SEARCH = "tool-search-tool-2025-10-19"
_STRUCTURED = "structured-outputs-2025-11-13"


def asked_betas(header: str) -> list[str]:
    """The values of a client's ``anthropic-beta`` header, each once."""
    return list(dict.fromkeys(beta.strip() for beta in header.split(",") if beta.strip()))


def platform_betas(provider: Provider, asked: Sequence[str], body: Mapping[str, Any] | None = None) -> list[str]:
    """What goes to ``provider`` of the betas that the client ``asked`` for, and what ``body``, a Messages request,
    needs there beside them."""
    if provider.betas is None:
        return list(asked)
    known = [provider.betas[beta] for beta in asked if beta in provider.betas]
    return list(dict.fromkeys([*known, *_needed(provider, body or {})]))


def countable(provider: Provider, asked: Sequence[str]) -> list[str]:
    """``platform_betas`` for a request whose tokens are to be counted: Vertex AI counts without web search."""
    betas = platform_betas(provider, asked)
    return [beta for beta in betas if beta != _SEARCH or "search_beta" not in provider.quirks]


def converse_betas(provider: Provider, protocol: Protocol, asked: Sequence[str]) -> list[str]:
    """What goes into a Converse request for a Claude model."""
    return platform_betas(provider, asked) if protocol == "converse" else []


def _needed(provider: Provider, body: Mapping[str, Any]) -> list[str]:
    tools = [tool for tool in body.get("tools") or () if isinstance(tool, Mapping)]
    kinds = [str(tool.get("type", "")) for tool in tools]
    needed: list[str] = []
    if "search_beta" in provider.quirks:
        needed += [_SEARCH] if any(kind.startswith("web_search_") for kind in kinds) else []
        needed += [_TOOL_SEARCH] if any(kind.startswith("tool_search_tool_") for kind in kinds) else []
    if "schema_beta" in provider.quirks:
        config = body.get("output_config")
        shaped = isinstance(config, Mapping) and config.get("format") is not None
        needed += [_STRUCTURED] if shaped or any(tool.get("strict") for tool in tools) else []
    return needed
