"""The catalogue as JSON: rows that OpenAI's and Anthropic's clients both understand, and the detail of one model.

A row merges both vendors' fields. Prices appear only in the detail, as USD per ``units`` tokens.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from headgate.catalog.catalog import Catalog, Model, Route
from headgate.usage import Price, dollars

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_LINES = ("haiku", "sonnet", "opus", "fable", "mythos")
_PER_MILLION = 1_000_000


def row(model: Model) -> dict[str, Any]:
    """One row of ``GET /v1/models``."""
    best = model.routes[0]
    retired = all(route.deprecated for route in model.routes)
    return {
        "id": model.slug,
        "object": "model",
        "created": model.released,
        "owned_by": model.author,
        "type": "model",
        "display_name": model.name,
        "created_at": datetime.fromtimestamp(model.released, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "deprecated" if retired else "active",
        "deprecated_at": None,
        "retires_at": None,
        "line": next((line for line in _LINES if f"-{line}" in model.slug), None),
        "max_input_tokens": max(route.context_window for route in model.routes),
        "max_tokens": max(route.max_output_tokens for route in model.routes),
        "capabilities": _capabilities(model, best),
    }


def listing(models: list[Model]) -> dict[str, Any]:
    """The body of ``GET /v1/models``: newest first, no paging."""
    rows = [row(model) for model in models]
    return {
        "object": "list",
        "data": rows,
        "has_more": False,
        "first_id": rows[0]["id"] if rows else None,
        "last_id": rows[-1]["id"] if rows else None,
    }


def detail(model: Model, catalog: Catalog) -> dict[str, Any]:
    """The body of ``GET /v1/models/{model}``: the row, with what only the native form has."""
    return row(model) | {
        "slug": model.slug,
        "aliases": list(model.aliases),
        "name": model.name,
        "release_date": model.released * 1000,
        "author": {"slug": model.author, "display_name": catalog.authors.get(model.author, model.author)},
        "providers": {route.provider: provider_detail(route) for route in model.routes},
    }


def provider_detail(route: Route) -> dict[str, Any]:
    """One provider's offer of a model."""
    has = (route.features or frozenset[str]()).__contains__
    levels = dict.fromkeys(route.efforts, True)
    return {
        "provider_slug": route.provider,
        "pricing": {
            "tokens": _token_prices(route.price, route.provider == "anthropic"),
            "tool_calls": {"web_search": {"price": {"USD": dollars(route.price.web_search * 1000)}, "units": 1000}},
        },
        "context_window": route.context_window,
        "max_output_tokens": route.max_output_tokens,
        "supports": {
            "input": {
                "text": True,
                "image": dict.fromkeys(("png", "jpeg", "gif", "webp"), True) if has("image") else False,
                "file": {"pdf": True} if has("pdf") else False,
                "audio": has("audio"),
            },
            "stream": True,
            "streaming": True,
            "reasoning": {"effort": levels} if has("reasoning") else False,
            "temperature": has("sampling"),
            "text": {"format": {"json_schema": has("json_schema"), "json_object": has("json_object")}},
            "tools": {"function_calling": has("tools"), "web_search": has("web_search")},
        },
        "zdr": {"policy": route.zdr} if route.zdr else False,
        "deprecated_at": None,
    }


def _token_prices(price: Price, by_lifetime: bool) -> dict[str, Any]:
    prices: dict[str, Any] = {"input": _price(price.input), "output": _price(price.output)}
    cache: dict[str, Any] = {}
    if price.cache_read is not None:
        cache["read"] = _price(price.cache_read)
    if price.cache_write_5m is not None:
        if by_lifetime:
            hour = price.cache_write_5m if price.cache_write_1h is None else price.cache_write_1h
            cache["write"] = {
                "ephemeral_5m_input_tokens": _price(price.cache_write_5m),
                "ephemeral_1h_input_tokens": _price(hour),
            }
        else:
            cache["write"] = {"cache_write_tokens": _price(price.cache_write_5m)}
    if cache:
        prices["cache"] = cache
    if price.tiers:
        prices["tiers"] = [{"above": above} | _token_prices(tier, by_lifetime) for above, tier in price.tiers]
    return prices


def _price(pico_per_token: int) -> dict[str, Any]:
    return {"price": {"USD": dollars(pico_per_token * _PER_MILLION)}, "units": _PER_MILLION}


def _capabilities(model: Model, route: Route) -> dict[str, Any]:
    def flag(value: bool) -> dict[str, bool]:
        return {"supported": value}

    has = (route.features or frozenset[str]()).__contains__
    return {
        "batch": flag(False),
        "citations": flag(has("web_search")),
        "code_execution": flag(False),
        "context_management": flag(False)
        | {name: flag(False) for name in ("clear_thinking_20251015", "clear_tool_uses_20250919", "compact_20260112")},
        "effort": flag(bool(route.efforts)) | {level: flag(level in route.efforts) for level in _EFFORTS},
        "image_input": flag(has("image")),
        "pdf_input": flag(has("pdf")),
        "server_tools": flag(has("web_search"))
        | {"code_execution": flag(False), "web_search": flag(has("web_search"))},
        "structured_outputs": flag(has("json_schema")),
        "thinking": flag(has("reasoning"))
        | {
            "types": {
                "adaptive": flag(route.thinking == "adaptive"),
                "between_tools": flag(False),
                "disabled": flag(True),
                "enabled": flag(route.thinking == "budget" or has("reasoning")),
            }
        },
    }
