"""The ``routing`` object of a request: what its routes are ranked by, where it may go, what comes after.

The present form is ``{"model": {"fallbacks", "sort"}, "provider": {"fallbacks", "sort", "interval"}}``. Of the two
forms before it, ``metric``, ``interval`` and ``strategy`` at the top are understood as ``provider.sort``,
``provider.interval`` and its direction, and ``provider.allow`` as ``provider.fallbacks``. That one is a whitelist,
whatever its name says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headgate.errors import GatewayError, invalid_request
from headgate.providers.rows import find_provider
from headgate.routing.metrics import DEFAULT_INTERVAL, Metric, parse_interval, parse_metric

DEFAULT_METRIC = parse_metric("performance", "routing.provider.sort")
MOST_FALLBACKS = 10


@dataclass(frozen=True, slots=True)
class RoutingOptions:
    """``metric`` and ``interval`` (seconds) rank a model's routes, ``model_metric`` the models of a pool where it is
    given. ``allow`` and ``deny`` are provider slugs, empty: no limit. ``fallbacks`` are names of models, in order."""

    metric: Metric = DEFAULT_METRIC
    interval: int = DEFAULT_INTERVAL
    model_metric: Metric | None = None
    allow: tuple[str, ...] = ()
    deny: frozenset[str] = frozenset()
    fallbacks: tuple[str, ...] = ()

    def permits(self, provider: str) -> bool:
        """Whether the request may go to that provider."""
        return provider not in self.deny and (not self.allow or provider in self.allow)


DEFAULT_OPTIONS = RoutingOptions()


def read_options(body: Mapping[str, Any]) -> RoutingOptions:
    """The routing options of a client's body. Raises 400 for what cannot be meant, unknown members included: an option
    that is not understood could be the one that keeps a request away from somewhere."""
    routing = body.get("routing")
    if routing is None:
        return DEFAULT_OPTIONS
    top = _object(routing, "routing", ("model", "provider", "metric", "interval", "strategy"))
    model = _object(top.get("model"), "routing.model", ("fallbacks", "sort"))
    provider = _object(
        top.get("provider"), "routing.provider", ("fallbacks", "allow", "deny", "sort", "interval", "strategy")
    )
    sort, sort_at = _either(provider, "sort", top, "metric", "routing.provider.sort", "routing.metric")
    interval, interval_at = _either(
        provider, "interval", top, "interval", "routing.provider.interval", "routing.interval"
    )
    strategy, strategy_at = _either(
        provider, "strategy", top, "strategy", "routing.provider.strategy", "routing.strategy"
    )
    direction = _direction(strategy, strategy_at)
    model_sort = model.get("sort")
    allow, allow_at = _either(
        provider, "fallbacks", provider, "allow", "routing.provider.fallbacks", "routing.provider.allow"
    )
    return RoutingOptions(
        metric=_metric(sort, sort_at, direction),
        interval=DEFAULT_INTERVAL if interval is None else parse_interval(interval, interval_at),
        model_metric=None if model_sort is None else _metric(model_sort, "routing.model.sort", None),
        allow=_slugs(allow, allow_at),
        deny=frozenset(_slugs(provider.get("deny"), "routing.provider.deny")),
        fallbacks=_fallbacks(model.get("fallbacks")),
    )


def _object(value: Any, param: str, known: tuple[str, ...]) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _wrong(f"{param} must be an object.", param)
    unknown = sorted(name for name in value if name not in known)
    if unknown:
        name = f"{param}.{unknown[0]}"
        raise invalid_request(
            f"Unknown parameter: '{name}'. {param} has {', '.join(known)}.", param=name, code="unknown_parameter"
        )
    return value


def _either(
    first: Mapping[str, Any], name: str, second: Mapping[str, Any], alias: str, param: str, alias_param: str
) -> tuple[Any, str]:
    """The value under a name or under its alias, and where it stood. Raises 400 where they contradict each other."""
    one, other = first.get(name), second.get(alias)
    if one is not None and other is not None and one != other:
        raise invalid_request(f"{param} and {alias_param} contradict each other.", param=alias_param)
    return (one, param) if one is not None else (other, alias_param)


def _metric(name: Any, param: str, direction: str | None) -> Metric:
    if name is None:
        return DEFAULT_METRIC if direction is None else parse_metric(DEFAULT_METRIC.name, param, direction)
    if not isinstance(name, str):
        raise _wrong(f"{param} must be the name of a metric.", param)
    return parse_metric(name, param, direction)


def _direction(value: Any, param: str) -> str | None:
    if value is None or value in ("min", "max"):
        return value
    raise invalid_request(f"{param} must be 'min' or 'max'.", param=param)


def _slugs(names: Any, param: str) -> tuple[str, ...]:
    if names is None:
        return ()
    if not isinstance(names, list):
        raise _wrong(f"{param} must be a list of provider slugs.", param)
    slugs: list[str] = []
    for at, name in enumerate(names):
        row = find_provider(name) if isinstance(name, str) else None
        if row is None:
            raise invalid_request(f"Unknown provider {name!r}.", param=f"{param}[{at}]", code="unknown_provider")
        slugs.append(row.slug)
    return tuple(dict.fromkeys(slugs))


def _fallbacks(names: Any) -> tuple[str, ...]:
    param = "routing.model.fallbacks"
    if names is None:
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise _wrong(f"{param} must be a list of model names.", param)
    if len(names) > MOST_FALLBACKS:
        raise invalid_request(f"{param} may have at most {MOST_FALLBACKS} models.", param=param)
    return tuple(dict.fromkeys(names))


def _wrong(message: str, param: str) -> GatewayError:
    return invalid_request(message, param=param, code="invalid_type")
