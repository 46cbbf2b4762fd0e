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

from headgate.protocols.gemini import GEMINI_3_QUIRKS
from headgate.providers.bedrock_regions import PROFILES

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
    part = rules.get("cache_read_part_of_input")
    if part and "cache_read" not in price:
        if price["input"] % part:
            raise BadData(f"{where}.cache_read: {price['input']} pico-dollars in {part} parts")
        price["cache_read"] = price["input"] // part
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
    if model.get("structured_output") or _fits(rules, "structured_output", model):
        features.add("json_schema")
    if model.get("reasoning"):
        features.add("reasoning")
    elif rules.get("logprobs_without_reasoning"):
        features.add("logprobs")
    if model.get("temperature"):
        features.add("sampling")
    for feature in ("web_search", "system_messages", "logprobs", "pdf"):
        if _fits(rules, feature, model):
            features.add(feature)
    if _fits(rules, "cache_control", model):
        features |= {"cache_control", "caching"}
    return sorted(features)


def thinking_of(model: dict[str, Any], slug: str, rules: dict[str, Any]) -> tuple[str, list[str]]:
    """How the model is asked to reason (effort, level, budget, adaptive, none) and the levels it knows."""
    if not model.get("reasoning"):
        return "none", []
    options = {option["type"]: option for option in model.get("reasoning_options") or []}
    efforts = [] if _fits(rules, "no_effort", model) else list(options.get("effort", {}).get("values", []))
    if slug.startswith("claude-"):
        return ("adaptive" if "max" in efforts else "budget"), efforts
    if rules.get("gemini"):
        return ("level" if efforts else "budget"), efforts
    if rules.get("budget") and "budget_tokens" in options:
        return "budget", efforts
    return ("effort" if efforts else "none"), efforts


def slug_of(upstream: str, rules: dict[str, Any], overlay: dict[str, Any]) -> str:
    """The canonical name of a provider's model id: no path, no provider's decoration, one spelling."""
    slug = overlay["models"].get(upstream, {}).get("slug")
    if slug:
        return slug
    slug = upstream.rpartition("/")[2].lower()
    for pattern, replacement in rules.get("rename", ()):
        slug = re.sub(pattern, replacement, slug)
    return overlay["slugs"].get(slug, slug)


def author_of(slug: str, overlay: dict[str, Any]) -> str:
    """Who made the model. Raises BadData where no rule knows."""
    for pattern, author in overlay["author_of"]:
        if re.search(pattern, slug):
            return author
    raise BadData(f"{slug}: nobody is known to have made it")


def route_of(entry: dict[str, Any], slug: str, rules: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """One provider's offer of a model."""
    provider, upstream = rules["provider"], entry["id"]
    where = f"{provider}/{upstream}"
    thinking, efforts = thinking_of(entry, slug, rules)
    cost = {**entry["cost"], **overlay["prices"].get(where, {})}
    if rules.get("no_cache_write"):
        # Google's is the rent of an explicit cache by the hour, not a price of writing.
        cost.pop("cache_write", None)
    price = price_of(cost, rules, where) | {"web_search": _web_search(rules, upstream)}
    if price["input"] == 0 and price["output"] == 0:
        raise BadData(f"{where}: costs nothing")
    route: dict[str, Any] = {
        "provider": provider,
        "model": upstream,
        "context_window": int(entry["limit"]["context"]),
        "max_output_tokens": min(int(entry["limit"]["output"]), int(entry["limit"]["context"])),
        "price": price,
        "features": features_of(entry, rules),
        "thinking": thinking,
        "efforts": efforts,
        "performance": overlay["performance"].get(slug, 1),
    }
    protocols = ["responses"] if _fits(rules, "responses_only", entry) else rules.get("protocols")
    quirks = set(rules.get("quirks", ()))
    if rules.get("gemini") and thinking == "level":
        quirks |= GEMINI_3_QUIRKS
    if _fits(rules, "zdr", entry):
        route["zdr"] = overlay["zdr_policies"][provider]
    for pattern, location in rules.get("locations", ()):
        if re.search(pattern, upstream):
            route["location"] = location
    for pattern, names in rules.get("unlisted_profiles", ()):
        if re.search(pattern, upstream):
            route["profiles"] = dict.fromkeys(names)
    if _fits(rules, "needs_profile", entry):
        route["needs_profile"] = True
    optional = {"protocols": protocols, "quirks": sorted(quirks), "deprecated": entry.get("status") == "deprecated"}
    return route | {name: value for name, value in optional.items() if value}


def add_profile(model: dict[str, Any], route: dict[str, Any], profile: str) -> None:
    """Note that the model's route is also reached by an inference profile, under a price of its own if need be."""
    base = route["model"].removeprefix(f"{profile}.")
    known = next(
        (each for each in model["routes"] if (each["provider"], each["model"]) == (route["provider"], base)), None
    )
    if known is None:
        known = route | {"model": base, "needs_profile": True}
        model["routes"].append(known)
    same = known["price"] == route["price"]
    known.setdefault("profiles", {})[profile] = None if same else route["price"]


def build(source: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """The catalogue as it is shipped. ``source`` maps models.dev provider ids to providers."""
    models: dict[str, dict[str, Any]] = {}
    same = overlay["same_model"]
    for rules in overlay["sources"]:
        entries = [each for each in source[rules["from"]]["models"].values() if _wanted(each, rules, overlay)]
        # Inference profiles come after what they are profiles of.
        entries.sort(key=lambda each: bool(_profile(each["id"], rules)))
        for entry in entries:
            upstream = entry["id"]
            profile = _profile(upstream, rules)
            slug = slug_of(upstream.removeprefix(f"{profile}.") if profile else upstream, rules, overlay)
            # Of some only the month is published.
            released = datetime.fromisoformat(f"{entry['release_date']}-01"[:10]).replace(tzinfo=UTC)
            route = route_of(entry, slug, rules, overlay)
            model = models.setdefault(
                slug,
                {
                    "slug": slug,
                    "name": re.sub(r" \((latest|US|EU|AU|JP|Global)\)$", "", entry["name"]),
                    "author": author_of(slug, overlay),
                    "released": int(released.timestamp()),
                    "aliases": [],
                    "routes": [],
                },
            )
            if profile:
                add_profile(model, route, profile)
                continue
            if any(each["provider"] == route["provider"] for each in model["routes"]):
                raise BadData(f"{slug}: {route['provider']} offers it twice, the second time as {upstream}")
            aliases = set(overlay["models"].get(upstream, {}).get("aliases", []))
            aliases |= {dated for dated, base in same.items() if base == upstream}
            model["aliases"] = sorted({*model["aliases"], *aliases, upstream} - {slug})
            model["routes"].append(route)
    _check(models, overlay)
    for model in models.values():
        for route in model["routes"]:
            if "profiles" in route:
                order = sorted(route["profiles"], key=lambda name: PROFILES.index(name))
                route["profiles"] = {name: route["profiles"][name] for name in order}
    ordered = sorted(models.values(), key=lambda model: (-model["released"], model["slug"]))
    return {"authors": overlay["authors"], "auto": overlay["auto"], "models": ordered}


def _wanted(entry: dict[str, Any], rules: dict[str, Any], overlay: dict[str, Any]) -> bool:
    """Whether an entry is a model to talk to, at a price, that is not listed under another name."""
    upstream, cost = entry["id"], entry.get("cost")
    if upstream in overlay["same_model"] or re.search(rules["skip"], upstream):
        return False
    if "only" in rules and not re.search(rules["only"], upstream):
        return False
    if not cost or not any(cost.get(name) for name in ("input", "output")):
        return False
    if rules.get("plain_form_only") and "provider" in entry:
        return False
    return "text" in entry["modalities"]["output"] and not re.search(r"(?i)(embed|tts|-image)", upstream)


def _check(models: dict[str, dict[str, Any]], overlay: dict[str, Any]) -> None:
    """Raises BadData where a name is used twice or the pool names nobody."""
    unknown = [slug for slug in overlay["auto"] if slug not in models]
    if unknown:
        raise BadData(f"auto pool: no such model: {unknown}")
    owners: dict[str, str] = {slug: slug for slug in models}
    for slug, model in models.items():
        for alias in model["aliases"]:
            if owners.setdefault(alias, slug) != slug:
                raise BadData(f"{alias!r} names both {owners[alias]} and {slug}")


def _fits(rules: dict[str, Any], rule: str, model: dict[str, Any]) -> bool:
    pattern = rules.get(rule)
    return bool(pattern) and re.search(pattern, model["id"]) is not None


def _profile(upstream: str, rules: dict[str, Any]) -> str | None:
    found = re.search(rules["profiles"], upstream) if "profiles" in rules else None
    return found[1] if found else None


def _web_search(rules: dict[str, Any], upstream: str) -> int:
    """Pico-dollars for one search; a list of (pattern, USD) where models differ."""
    usd = rules["web_search_usd"]
    if isinstance(usd, list):
        usd = next(price for pattern, price in usd if re.search(pattern, upstream))
    return int(Decimal(str(usd)) * 10**12)


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
