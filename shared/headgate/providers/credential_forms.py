"""What one configured credential says: a plain secret, a vendor's credentials file, or a document of the gateway's own.

The document lets two credentials of a provider differ in more than their secret: two Azure resources, two Vertex
projects, two Bedrock regions. It is a JSON object of ``api_key`` (a string, or a vendor's credentials as an object),
``base_url``, ``model_ids``, ``profile`` and the provider's own settings (``resource``, ``project``, ``location``,
``region``, ``account``). Google's and Entra's files are JSON objects too and are told from it by the names they have.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.providers.auth_tokens import CredentialFault
from headgate.providers.table import Provider

_COMMON = ("base_url", "model_ids", "profile")
_VENDORS = {"google": ("type",), "azure": ("tenant_id", "client_id", "client_secret")}


@dataclass(frozen=True, slots=True)
class Given:
    """One credential as the deployment gives it. ``secret``: None where calls are signed with the function's role, or
    need no key. ``source``: where it was found (``environment``, ``ssm``, ``aws``, ``none``). ``own``: the settings
    that hold for it alone, by name; ``model_ids`` is a mapping, all others are strings."""

    secret: str | None
    source: str
    own: Mapping[str, Any] = field(default_factory=dict[str, Any])


def read_form(row: Provider, text: str, source: str) -> Given:
    """``text`` as it was configured for ``row``. Raises CredentialFault for a document that cannot be meant; its
    message names members, never values."""
    document = _document(row, text)
    if document is None:
        return Given(text, source)
    unknown = sorted(document.keys() - {"api_key", *_COMMON, *row.settings})
    if unknown:
        raise CredentialFault(f"A credential of provider '{row.slug}' has unknown members: {', '.join(unknown)}.")
    own = {name: value for name, value in document.items() if name != "api_key"}
    ids = own.get("model_ids", {})
    texts = (value for name, value in own.items() if name != "model_ids")
    if not all(isinstance(value, str) and value for value in texts) or not _is_names(ids):
        raise CredentialFault(f"A credential of provider '{row.slug}' has members of the wrong type.")
    key = document.get("api_key")
    if isinstance(key, dict) and row.auth in _VENDORS:
        key = json.dumps(key, sort_keys=True)
    if key is None and row.auth != "aws" and "base_url" not in own:
        raise CredentialFault(f"A credential of provider '{row.slug}' has no 'api_key'.")
    if key is not None and not (isinstance(key, str) and key):
        raise CredentialFault(f"The 'api_key' of a credential of provider '{row.slug}' is not a string.")
    return Given(key, source if key is not None else "aws" if row.auth == "aws" else "none", own)


def public_id(slug: str, given: Given, region: str | None = None) -> str:
    """What logs and tokens call the credential: eight hexadecimal digits of a SHA-256 over provider and secret, the
    same in every function and for as long as the secret is. ``region`` is where calls are signed for the role."""
    if given.secret is None and region is not None:
        return f"role/{region}"
    own = json.dumps(given.own, sort_keys=True) if given.own else ""
    if given.secret is None and not own:
        return "none"
    said = "\0".join([slug, given.secret or "", *([own] if own else [])])
    return hashlib.sha256(said.encode()).hexdigest()[:8]


def _document(row: Provider, text: str) -> dict[str, Any] | None:
    """The gateway's own form, None for any other."""
    if not text.startswith("{"):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if not isinstance(value, dict) or any(name in value for name in _VENDORS.get(row.auth, ())):
        return None
    return value


def _is_names(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) and each for each in value.values())
