"""The one error type of the gateway, and the constructors every layer uses.

Each frontend protocol renders it in its own envelope (``protocols/<name>/errors.py``). ``message`` is written for the
client; it never holds a secret or an HTTP library's text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class GatewayError(Exception):
    """A request that ends without an answer.

    status: HTTP status. type: the class of error in OpenAI's words (``invalid_request_error``,
    ``authentication_error``, ``rate_limit_error`` …). code: a stable machine word or None. param: the field at fault,
    as a path, or None. retry_after: seconds. model: ``provider/slug`` when a provider failed. details: Anthropic's
    ``error.details`` object. headers: more response headers.
    """

    def __init__(
        self,
        status: int,
        type: str,
        code: str | None,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        model: str | None = None,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.code = code
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.model = model
        self.details = details
        self.headers = dict(headers or {})

    def __repr__(self) -> str:
        return f"GatewayError({self.status}, {self.type!r}, {self.code!r}, {self.message!r}, param={self.param!r})"


def invalid_request(message: str, *, param: str | None = None, code: str | None = "invalid_value") -> GatewayError:
    """400: the request is malformed or out of range."""
    return GatewayError(400, "invalid_request_error", code, message, param=param)


def unsupported(message: str, *, param: str | None = None) -> GatewayError:
    """400: well-formed content that the chosen target cannot represent."""
    return GatewayError(400, "invalid_request_error", "unsupported_content", message, param=param)


def unauthorized(message: str = "Invalid API key") -> GatewayError:
    """401: missing, malformed, unknown, expired or revoked key."""
    return GatewayError(401, "authentication_error", "invalid_api_key", message)


def forbidden(message: str, *, code: str = "permission_denied") -> GatewayError:
    """403: the key is good, its policy forbids this."""
    return GatewayError(403, "permission_error", code, message)


def not_found(message: str, *, code: str = "not_found", param: str | None = None) -> GatewayError:
    """404: no such object for this owner."""
    return GatewayError(404, "not_found_error", code, message, param=param)


def provider_failed(message: str, *, model: str, code: str = "provider_error") -> GatewayError:
    """424: every route failed; ``message`` carries the provider's own words."""
    return GatewayError(424, "provider_error", code, message, model=model)


def server_error(message: str = "An unexpected error occurred. Please try again.") -> GatewayError:
    """500: a defect of the gateway."""
    return GatewayError(500, "server_error", "internal_error", message)
