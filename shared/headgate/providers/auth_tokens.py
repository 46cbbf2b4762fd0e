"""Schemes whose headers are made for each call: tokens exchanged for a stored secret, and AWS's signatures.

The libraries are imported when the first call needs them, so that a function without such a provider never pays.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

Authorize = Callable[[str, bytes], Awaitable[Mapping[str, str]]]
"""(address, body) to the headers that authenticate one POST. Raises CredentialFault."""

# A token is replaced this long before its end: a long answer must not outlive it.
EARLY_SECONDS = 300.0

_TOKEN_SECONDS = 10.0
_GOOGLE_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_AZURE_SCOPE = "https://cognitiveservices.azure.com/.default"
_ENTRA = "https://login.microsoftonline.com"


class CredentialFault(Exception):
    """Credentials are there but cannot be used. The message names the provider and never a secret."""


def parsed(secret: str, provider: str) -> dict[str, Any]:
    """A secret that is a JSON object. Raises CredentialFault."""
    try:
        value = json.loads(secret)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise CredentialFault(f"The credentials of provider '{provider}' are not a JSON object.")
    return value


def google(info: dict[str, Any]) -> Authorize:
    """A token for what a Google credentials file describes: a service account, or a workload identity that trusts the
    function's AWS role. Kept until shortly before its end."""
    lock = asyncio.Lock()
    held: list[Any] = []

    def refresh() -> None:
        import httpx

        if not held:
            held.append(_google_credentials(info))
        with httpx.Client() as client:
            held[0].refresh(_google_transport(client))

    async def authorize(url: str, body: bytes) -> Mapping[str, str]:
        async with lock:
            if not held or not held[0].token or _seconds_left(held[0].expiry) < EARLY_SECONDS:
                try:
                    await asyncio.to_thread(refresh)
                except CredentialFault:
                    raise
                except ImportError:
                    raise CredentialFault("Google credentials need the package google-auth.") from None
                except Exception as error:  # google-auth raises its own and its transport's errors, and ValueError
                    raise CredentialFault(f"Google gave no token ({type(error).__name__}).") from error
            return {"authorization": f"Bearer {held[0].token}"}

    return authorize


def _google_transport(client: Any) -> Callable[..., Any]:
    """google-auth's way to send a request, over httpx: each of its own transports needs packages that the layer has
    not."""
    import httpx
    from google.auth.exceptions import TransportError

    def send(
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> SimpleNamespace:
        try:
            answer = client.request(method, url, content=body, headers=headers, timeout=timeout or _TOKEN_SECONDS)
        except httpx.HTTPError as error:
            raise TransportError(error) from error
        return SimpleNamespace(status=answer.status_code, headers=answer.headers, data=answer.content)

    return send


def _google_credentials(info: dict[str, Any]) -> Any:
    """google-auth's credentials for a file of one of the two kinds that a function should have."""
    match info.get("type"):
        case "service_account":
            from google.oauth2 import service_account

            return service_account.Credentials.from_service_account_info(info, scopes=[_GOOGLE_SCOPE])
        case "external_account":
            from google.auth import aws as identity

            return identity.Credentials.from_info(info, scopes=[_GOOGLE_SCOPE])
        case kind:
            raise CredentialFault(f"Google credentials of type {kind!r} are not supported.")


def entra(info: Mapping[str, Any], clock: Callable[[], float] = time.monotonic) -> Authorize:
    """A token for an Entra application: ``tenant_id``, ``client_id``, ``client_secret``; ``scope`` and ``authority``
    (another cloud's) are optional. Kept until shortly before its end."""
    lock = asyncio.Lock()
    held: list[tuple[str, float]] = []
    missing = [name for name in ("tenant_id", "client_id", "client_secret") if not info.get(name)]
    if missing:
        raise CredentialFault(f"The credentials of provider 'azure' lack {', '.join(missing)}.")
    form = {
        "grant_type": "client_credentials",
        "client_id": info["client_id"],
        "client_secret": info["client_secret"],
        "scope": info.get("scope", _AZURE_SCOPE),
    }
    address = f"{info.get('authority', _ENTRA)}/{info['tenant_id']}/oauth2/v2.0/token"

    async def authorize(url: str, body: bytes) -> Mapping[str, str]:
        import httpx

        async with lock:
            if not held or held[0][1] - clock() < EARLY_SECONDS:
                try:
                    async with httpx.AsyncClient(timeout=10) as client:
                        answer = await client.post(address, data=form)
                    given = answer.json()
                    held[:] = [(given["access_token"], clock() + float(given["expires_in"]))]
                except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                    raise CredentialFault(f"Entra gave no token ({type(error).__name__}).") from error
            return {"authorization": f"Bearer {held[0][0]}"}

    return authorize


def aws(region: str, session: Any = None) -> Authorize:
    """Signature Version 4 for Bedrock with the credentials that AWS tools find: on Lambda the function's own role.
    ``session`` replaces botocore's (tests)."""
    held: list[Any] = [session] if session is not None else []

    def sign(url: str, body: bytes) -> Mapping[str, str]:
        import botocore.session
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        if not held:
            held.append(botocore.session.Session())
        credentials = held[0].get_credentials()
        if credentials is None:
            raise CredentialFault("There are no AWS credentials to sign Bedrock's requests with.")
        request = AWSRequest("POST", url, data=body, headers={"host": urlsplit(url).netloc})
        SigV4Auth(credentials.get_frozen_credentials(), "bedrock", region).add_auth(request)
        return {name.lower(): value for name, value in request.headers.items() if name.lower() != "host"}

    async def authorize(url: str, body: bytes) -> Mapping[str, str]:
        from botocore.exceptions import BotoCoreError

        try:
            # In a thread: credentials may come from a metadata server.
            return await asyncio.to_thread(sign, url, body)
        except BotoCoreError as error:
            raise CredentialFault(f"The AWS credentials cannot be used ({type(error).__name__}).") from error

    return authorize


def _seconds_left(expiry: datetime | None) -> float:
    """Google's expiry is UTC without saying so; None never ends."""
    if expiry is None:
        return float("inf")
    return (expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()
