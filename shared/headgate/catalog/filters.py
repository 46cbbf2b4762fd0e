"""Filters of ``GET /v1/models``: dot paths into a model's native form, all of which must hold.

``author.slug=anthropic``, ``supports.tools.function_calling=true``, ``context_window.gte=128000``. What providers offer
differently (``supports``, ``context_window``, ``pricing`` …) must hold for one and the same provider.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from headgate.catalog.catalog import Catalog, Model
from headgate.catalog.views import detail, provider_detail
from headgate.errors import invalid_request

_COMPARISONS = ("gte", "lte", "gt", "lt")
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition. ``comparison`` is empty for equality."""

    path: tuple[str, ...]
    comparison: str
    value: str


def read_filters(parameters: Iterable[tuple[str, str]]) -> list[Filter]:
    """The filters among the query parameters. Other parameters are the vendors' own (``limit``, ``after_id`` …) and do
    nothing here. Raises 400 for a path that no model has and for a comparison with what is no number."""
    filters: list[Filter] = []
    for name, value in parameters:
        path = name.split(".")
        comparison = path[-1] if len(path) > 1 and path[-1] in _COMPARISONS else ""
        if comparison:
            path = path[:-1]
            if _number(value) is None:
                raise invalid_request(f"{name} needs a number, not {value!r}.", param=name, code="invalid_filter")
        if path[0] in _MODEL_ROOTS or path[0] in _PROVIDER_ROOTS:
            filters.append(Filter(tuple(path), comparison, value))
        elif len(path) > 1 or comparison:
            known = ", ".join(sorted(_MODEL_ROOTS | _PROVIDER_ROOTS))
            raise invalid_request(
                f"There is nothing to filter by at '{name}'. A path begins with one of: {known}.",
                param=name,
                code="invalid_filter",
            )
    return filters


def matching(models: Iterable[Model], filters: list[Filter], catalog: Catalog) -> list[Model]:
    """The models that pass, each with the routes that do."""
    of_model = [each for each in filters if each.path[0] in _MODEL_ROOTS]
    of_route = [each for each in filters if each.path[0] not in _MODEL_ROOTS]
    kept: list[Model] = []
    for model in models:
        if of_model:
            shown = detail(model, catalog)
            if not all(_holds(shown, each) for each in of_model):
                continue
        if of_route:
            shown_routes = ((route, provider_detail(route)) for route in model.routes)
            routes = tuple(route for route, shown in shown_routes if all(_holds(shown, each) for each in of_route))
            if not routes:
                continue
            model = replace(model, routes=routes)
        kept.append(model)
    return kept


def _holds(shown: Mapping[str, Any], wanted: Filter) -> bool:
    found: Any = shown
    for name in wanted.path:
        found = found.get(name, _MISSING) if isinstance(found, Mapping) else _MISSING
    if found is _MISSING:
        # What is not said of a model is not so: supports.reasoning.effort.max of one that does not reason.
        return not wanted.comparison and wanted.value == "false"
    if wanted.comparison:
        limit = _number(wanted.value)
        if limit is None or isinstance(found, bool) or not isinstance(found, int | float):
            return False
        match wanted.comparison:
            case "gte":
                return found >= limit
            case "lte":
                return found <= limit
            case "gt":
                return found > limit
            case _:
                return found < limit
    if wanted.value in ("true", "false"):
        return bool(found) == (wanted.value == "true")
    if isinstance(found, list):
        return wanted.value in found
    if isinstance(found, int | float) and not isinstance(found, bool):
        return _number(wanted.value) == found
    return found is None if wanted.value == "null" else found == wanted.value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


# The native form's own names; those of the merged row (id, object, type) are not for filtering but for two.
_MODEL_ROOTS = frozenset(
    {"slug", "name", "author", "aliases", "release_date", "id", "owned_by", "lifecycle", "line", "capabilities"}
    | {"created", "max_input_tokens", "max_tokens", "display_name"}
)
_PROVIDER_ROOTS = frozenset(
    {"provider_slug", "pricing", "context_window", "max_output_tokens", "supports", "zdr", "deprecated_at"}
)
