"""Makes ``shared/headgate/catalog/catalog.json`` from models.dev's published data and our reviewed overlay.

    python -m dev.build_catalog SOURCE      SOURCE: a file, or https://models.dev/api.json

models.dev (MIT) publishes models, prices, limits and modalities; ``overlay.json`` holds what it does not: aliases,
which entries are the same model, features, performance tiers and the ``auto`` pool. Money becomes integer
pico-dollars per token here; a price that is not a whole number of them, negative or missing stops the build.
"""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

CATALOG = Path(__file__).parent.parent / "shared" / "headgate" / "catalog"

PRICE_CLASSES = (
    ("input", "input"),
    ("output", "output"),
    ("cache_read", "cache_read"),
    ("cache_write", "cache_write_5m"),
    ("input_audio", "audio_input"),
)


class BadData(ValueError):
    """The source holds something that must not become a price or a limit."""


def pico_per_token(usd_per_million: Any, where: str) -> int:
    """USD per million tokens as pico-dollars per token. Raises BadData where that is not a whole number."""
    if isinstance(usd_per_million, bool) or not isinstance(usd_per_million, int | float | str):
        raise BadData(f"{where}: price {usd_per_million!r} is not a number")
    pico = Decimal(str(usd_per_million)) * 10**6
    if not pico.is_finite() or pico < 0 or pico != pico.to_integral_value():
        raise BadData(f"{where}: price {usd_per_million!r} is not a whole number of pico-dollars per token")
    return int(pico)


def price_of(cost: dict[str, Any], rules: dict[str, Any], where: str) -> dict[str, Any]:
    """The price list of one route, with long-context tiers."""
    for required in ("input", "output"):
        if required not in cost:
            raise BadData(f"{where}: no {required} price")
    price: dict[str, Any] = {
        ours: pico_per_token(cost[theirs], f"{where}.{theirs}") for theirs, ours in PRICE_CLASSES if theirs in cost
    }
    times = rules.get("cache_write_1h_times_input")
    if times and "cache_write_5m" in price:
        price["cache_write_1h"] = price["input"] * times
    if "tiers" in cost:
        price["tiers"] = [
            {"above": int(tier["tier"]["size"])} | price_of(tier, rules, f"{where}.tiers") for tier in cost["tiers"]
        ]
    return price


def features_of(model: dict[str, Any], rules: dict[str, Any]) -> list[str]:
    """What the model can do at that provider, as the words routing matches on."""
    inputs = set(model["modalities"]["input"])
    features = set(rules["always"])
    if not model.get("tool_call"):
        features -= {"tools", "parallel_tools"}
    features |= inputs & {"image", "pdf", "audio", "video"}
    if rules.get("pdf_with_image") and "image" in inputs:
        features.add("pdf")
    pattern = rules.get("structured_output")
    if model.get("structured_output") or (pattern and re.search(pattern, model["id"])):
        features.add("json_schema")
    if model.get("reasoning"):
        features.add("reasoning")
    elif rules.get("logprobs_without_reasoning"):
        features.add("logprobs")
    if model.get("temperature"):
        features.add("sampling")
    if rules.get("web_search") and re.search(rules["web_search"], model["id"]):
        features.add("web_search")
    if rules.get("system_messages") and re.search(rules["system_messages"], model["id"]):
        features.add("system_messages")
    return sorted(features)


def thinking_of(model: dict[str, Any], provider: str) -> tuple[str, list[str]]:
    """How the model is asked to reason (effort, budget, adaptive, none) and the levels it knows."""
    if not model.get("reasoning"):
        return "none", []
    options = {option["type"]: option for option in model.get("reasoning_options") or []}
    efforts = list(options.get("effort", {}).get("values", []))
    if provider == "anthropic":
        return ("adaptive" if efforts and ("max" in efforts) else "budget"), efforts
    return ("effort" if efforts else "none"), efforts


def build(source: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """The catalogue as it is shipped. ``source`` maps models.dev provider ids to providers."""
    models: dict[str, dict[str, Any]] = {}
    same = overlay["same_model"]
    for provider, rules in overlay["providers"].items():
        for entry in source[rules["from"]]["models"].values():
            upstream = entry["id"]
            if re.search(rules["skip"], upstream) or "cost" not in entry:
                continue
            if upstream in same:
                continue
            own = overlay["models"].get(upstream, {})
            slug = own.get("slug", upstream)
            thinking, efforts = thinking_of(entry, provider)
            web_search = Decimal(str(rules["web_search_usd"])) * 10**12
            route = {
                "provider": provider,
                "model": upstream,
                "context_window": int(entry["limit"]["context"]),
                "max_output_tokens": int(entry["limit"]["output"]),
                "price": price_of(entry["cost"], rules, f"{provider}/{upstream}") | {"web_search": int(web_search)},
                "features": features_of(entry, rules),
                "thinking": thinking,
                "efforts": efforts,
                "performance": overlay["performance"].get(slug, 1),
            }
            if entry.get("status") == "deprecated":
                route["deprecated"] = True
            released = datetime.fromisoformat(entry["release_date"]).replace(tzinfo=UTC)
            model = models.setdefault(
                slug,
                {
                    "slug": slug,
                    "name": entry["name"].removesuffix(" (latest)"),
                    "author": rules["author"],
                    "released": int(released.timestamp()),
                    "aliases": [],
                    "routes": [],
                },
            )
            aliases = set(own.get("aliases", []))
            aliases |= {dated for dated, base in same.items() if base == upstream}
            if upstream != slug:
                aliases.add(upstream)
            model["aliases"] = sorted({*model["aliases"], *aliases})
            model["routes"].append(route)
    unknown = [slug for slug in overlay["auto"] if slug not in models]
    if unknown:
        raise BadData(f"auto pool: no such model: {unknown}")
    ordered = sorted(models.values(), key=lambda model: (-model["released"], model["slug"]))
    return {"authors": overlay["authors"], "auto": overlay["auto"], "models": ordered}


def main(arguments: list[str]) -> None:
    """Read SOURCE, write catalog.json."""
    (location,) = arguments
    if location.startswith("https://"):
        with urllib.request.urlopen(location, timeout=60) as answer:
            source = json.load(answer)
    else:
        source = json.loads(Path(location).read_text())
    source = source.get("providers", source)
    overlay = json.loads((CATALOG / "overlay.json").read_text())
    catalog = build(source, overlay)
    lines = ",\n".join(json.dumps(model, ensure_ascii=False) for model in catalog["models"])
    head = json.dumps({"authors": catalog["authors"], "auto": catalog["auto"]}, ensure_ascii=False)
    (CATALOG / "catalog.json").write_text(f'{head[:-1]}, "models": [\n{lines}\n]}}\n')
    print(f"{len(catalog['models'])} models, {sum(len(model['routes']) for model in catalog['models'])} routes")


if __name__ == "__main__":
    main(sys.argv[1:])
