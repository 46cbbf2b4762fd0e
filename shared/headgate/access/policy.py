"""What a key may do and what is kept of its traffic. Set when the key is made; never a field of a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from fnmatch import fnmatchcase
from typing import Any

from headgate.errors import GatewayError


class PolicyError(ValueError):
    """A policy is malformed. The message names the field."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A key's rules.

    logging: ``on`` keeps conversations, so that ``previous_response_id`` and message threads work; ``off`` keeps
    nothing of any content, only the metadata of the request log. log_bodies: whether the request log also keeps
    requests and answers (needs logging ``on``). zdr: only providers with certified zero retention.
    allowed_models, denied_models: shell patterns over ``slug`` or ``provider/slug``; empty ``allowed_models`` allows
    all, and a denial wins.
    """

    logging: str = "on"
    log_bodies: bool = False
    zdr: bool = False
    allowed_models: tuple[str, ...] = ()
    denied_models: tuple[str, ...] = ()

    @property
    def keeps_content(self) -> bool:
        """Whether conversations may be stored."""
        return self.logging == "on"

    @property
    def keeps_bodies(self) -> bool:
        """Whether the request log may hold bodies."""
        return self.logging == "on" and self.log_bodies

    def allows(self, provider: str, slug: str) -> bool:
        """Whether the key may use this model of this provider."""
        names = (slug, f"{provider}/{slug}")
        if any(fnmatchcase(name, pattern) for pattern in self.denied_models for name in names):
            return False
        return not self.allowed_models or any(
            fnmatchcase(name, pattern) for pattern in self.allowed_models for name in names
        )


DEFAULT_POLICY = Policy()
"""The policy of a key for which nothing was said."""


def read_policy(value: Mapping[str, Any]) -> Policy:
    """A policy from the control table or an administrator's JSON; what is absent has its default. Raises
    ``PolicyError``: a rule that is not understood must not be dropped, for that could allow what it forbids."""
    unknown = set(value) - {f.name for f in fields(Policy)}
    if unknown:
        raise PolicyError(f"unknown policy field {min(unknown)!r}")
    logging = value.get("logging", "on")
    if logging not in ("on", "off"):
        raise PolicyError("policy field 'logging' must be 'on' or 'off'")
    policy = Policy(
        logging=logging,
        log_bodies=_boolean(value, "log_bodies"),
        zdr=_boolean(value, "zdr"),
        allowed_models=_patterns(value, "allowed_models"),
        denied_models=_patterns(value, "denied_models"),
    )
    if policy.log_bodies and not policy.keeps_content:
        raise PolicyError("policy field 'log_bodies' needs 'logging' to be 'on'")
    return policy


def write_policy(policy: Policy) -> dict[str, Any]:
    """The policy as ``read_policy`` takes it, for the control table and JSON."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(policy).items()}


def chaining_forbidden(param: str = "previous_response_id") -> GatewayError:
    """400: the request continues a stored conversation, which this key's policy does not keep."""
    message = (
        f"{param} needs stored conversations, but logging is off for this API key (key policy 'logging': 'off'). "
        "Send the whole conversation instead, or use a key with logging on."
    )
    return GatewayError(400, "invalid_request_error", "logging_disabled", message, param=param)


def _boolean(value: Mapping[str, Any], name: str) -> bool:
    found = value.get(name, False)
    if not isinstance(found, bool):
        raise PolicyError(f"policy field {name!r} must be true or false")
    return found


def _patterns(value: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found: Any = value.get(name, [])
    if not isinstance(found, list | tuple) or not all(isinstance(p, str) and 0 < len(p) <= 200 for p in found):
        raise PolicyError(f"policy field {name!r} must be a list of model names or patterns")
    return tuple(found)
