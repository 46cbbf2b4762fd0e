"""AWS Signature Version 4, verified as AWS documents it (and not with AWS's own code, which the gateway signs with).

The simulated account has one secret access key, SECRET; any access key id goes with it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote

from starlette.requests import Request

SECRET = "secret"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/,\s]+)/(?P<day>\d{8})/(?P<region>[a-z0-9-]+)/(?P<service>[a-z0-9-]+)"
    r"/aws4_request, ?SignedHeaders=(?P<headers>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
_LONGEST_SKEW = 300.0


class BadSignature(Exception):
    """The message says what is wrong, as AWS does."""


@dataclass(frozen=True)
class Signer:
    """Who signed: the access key id, and the region that was signed for."""

    key: str
    region: str


def verify(request: Request, body: bytes, service: str) -> Signer:
    """Who signed ``request``. Raises BadSignature."""
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if found is None:
        raise BadSignature("Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters.")
    if found["service"] != service:
        raise BadSignature(f"Credential should be scoped to correct service: '{service}'.")
    stamp = request.headers.get("x-amz-date", "")
    try:
        at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise BadSignature("Date must be in ISO-8601 'basic format'.") from None
    if not stamp.startswith(found["day"]) or abs((datetime.now(UTC) - at).total_seconds()) > _LONGEST_SKEW:
        raise BadSignature("Signature expired or not yet current.")
    signed = found["headers"].split(";")
    unsigned = [name for name in request.headers if name.startswith("x-amz-") and name not in signed]
    if "host" not in signed or unsigned:
        raise BadSignature("There were headers present in the request which were not signed.")
    scope = f"{found['day']}/{found['region']}/{service}/aws4_request"
    canonical = hashlib.sha256(_canonical(request, body, signed).encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{canonical}"
    key = f"AWS4{SECRET}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    if not hmac.compare_digest(key.hex(), found["signature"]):
        raise BadSignature(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details."
        )
    return Signer(found["key"], found["region"])


def _canonical(request: Request, body: bytes, signed: list[str]) -> str:
    """The canonical request. All services but S3 escape the path as sent once more."""
    path = quote(request.scope["raw_path"].partition(b"?")[0].decode("ascii"), safe="/~")
    pairs = sorted(parse_qsl(request.url.query, keep_blank_values=True))
    query = "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs)
    headers = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in signed)
    digest = request.headers.get("x-amz-content-sha256") or hashlib.sha256(body).hexdigest()
    return "\n".join([request.method, path or "/", query, headers, ";".join(signed), digest])
