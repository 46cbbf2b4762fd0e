"""Bedrock's binary event stream, encoded; and its errors, models and callers."""

from __future__ import annotations

import re
import secrets
import uuid
import zlib
from dataclasses import dataclass, field

from starlette.requests import Request

from . import sigv4
from .delivery import packed
from .reading import Faults
from .shapes import Problem

_NAMES = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_MESSAGES = {
    403: "You don't have access to the model with the specified model ID.",
    404: "Could not resolve the foundation model from the provided model identifier.",
    408: "The model timed out.",
    424: "The model returned an error.",
    429: "Too many requests, please wait before trying again.",
    500: "The system encountered an unexpected error during processing. Try your request again.",
    503: "Bedrock is unable to process your request.",
}
MAKERS = ("anthropic.", "amazon.", "meta.", "mistral.", "openai.", "deepseek.", "cohere.", "qwen.", "moonshot")


@dataclass
class Refused(Exception):
    """An error answer; ``name`` of the exception, from the status where not given."""

    status: int
    message: str
    name: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    html: bool = False

    def body(self) -> bytes:
        """The answer's body."""
        if self.html:
            return f"<html><body><h1>{self.status}</h1>{self.message}</body></html>".encode()
        return packed({"message": self.message})

    def all_headers(self) -> dict[str, str]:
        """Its headers, the exception's name among them."""
        name = self.name or _NAMES.get(self.status, "InternalServerException")
        own = {} if self.html else {"x-amzn-errortype": f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/"}
        return {**headers(), **own, **self.headers}


def headers() -> dict[str, str]:
    """The headers of every answer."""
    return {"x-simulated": "1", "x-amzn-requestid": str(uuid.uuid4())}


def invalid(message: str) -> Refused:
    """A 400."""
    return Refused(400, message)


def worded(problem: Problem) -> Refused:
    """Bedrock's words for a Problem."""
    where = ".".join(str(step) for step in problem.path)
    facts = {key: value for key, value in problem.facts.items() if key in ("expected", "allowed", "limit", "pattern")}
    told = ", ".join(f"{key} {value}" for key, value in facts.items())
    text = f"1 validation error detected: Value at '{where}' failed to satisfy constraint: {problem.kind}"
    return invalid(f"{text} ({told})" if told else text)


@dataclass(frozen=True)
class Caller:
    """Who asks: a Bedrock key or an access key id, and the region where that is known (a key does not tell it)."""

    key: str
    region: str | None = None


def caller(request: Request, body: bytes) -> Caller:
    """Who asks, with a SigV4 signature or a Bedrock API key. Raises Refused."""
    given = request.headers.get("authorization", "")
    if not given:
        raise Refused(403, "Missing Authentication Token", "MissingAuthenticationTokenException")
    scheme, _, rest = given.partition(" ")
    if "invalid" in rest or scheme not in ("AWS4-HMAC-SHA256", "Bearer"):
        raise Refused(403, "The security token included in the request is invalid.", "UnrecognizedClientException")
    if scheme == "Bearer":
        return Caller(rest)
    try:
        signer = sigv4.verify(request, body, "bedrock")
    except sigv4.BadSignature as wrong:
        raise Refused(403, str(wrong), "InvalidSignatureException") from None
    return Caller(signer.key, signer.region)


_GEOGRAPHIES = {
    "us": r"us-(east|west)-\d|ca-(central|west)-1",
    "us-gov": r"us-gov-(east|west)-1",
    "eu": r"eu-(central|north|south|west)-\d",
    "jp": r"ap-northeast-[13]",
    "au": r"ap-southeast-[246]",
    "apac": r"ap-.*",
}
_PROFILE_ONLY = re.compile(r"anthropic\.claude-(opus-4|sonnet-4-5|haiku-4-5|fable)|meta\.llama4|deepseek\.r1")
_ARN = re.compile(r"arn:aws[a-z-]*:bedrock:(?P<region>[a-z0-9-]+):(?P<account>\d{12})?:[a-z-]+/[a-zA-Z0-9-:.]+")


def check_model(model: str, extra: tuple[str, ...], region: str | None) -> None:
    """Raises Refused for a model that Bedrock does not have, or not in ``region`` (None: not known)."""
    if arn := _ARN.fullmatch(model):
        if region is not None and arn["region"] != region:
            raise invalid("The provided model identifier is invalid.")
        return
    known = model in extra or any(maker in model for maker in MAKERS)
    if not known or "does-not-exist" in model or "/" in model:
        raise invalid("The provided model identifier is invalid.")
    profile = model.partition(".")[0]
    if profile in _GEOGRAPHIES and region is not None and not re.fullmatch(_GEOGRAPHIES[profile], region):
        raise invalid("The provided model identifier is invalid.")
    if profile == "global" and (region or "").startswith("us-gov"):
        raise invalid("The provided model identifier is invalid.")
    if _PROFILE_ONLY.match(model):
        raise invalid(
            f"Invocation of model ID {model} with on-demand throughput isn\u2019t supported. Retry your request with "
            "the ID or ARN of an inference profile that contains this model."
        )


def check_countable(model: str) -> None:
    """Raises Refused for all but Claude's own ids: tokens are not counted for a profile."""
    if not model.startswith("anthropic."):
        raise invalid("The provided model doesn't support counting tokens.")


def family(model: str) -> str:
    """Whose model it is: claude, nova, or the rest."""
    return "claude" if "anthropic." in model else "nova" if "amazon.nova" in model else "other"


def failure(faults: Faults) -> Refused:
    """The error that ``[[fail:…]]`` asks for."""
    status, options = faults.status or 500, faults.status_options
    more = {"retry-after": options["retry-after"]} if "retry-after" in options else {}
    message = options.get("message", _MESSAGES.get(status, "Something went wrong"))
    return Refused(status, message, options.get("type", ""), more, "html" in options)


def message(headers: dict[str, str], payload: bytes) -> bytes:
    """One message of the stream; all headers are strings."""
    written = bytearray()
    for name, value in headers.items():
        held = value.encode()
        written += bytes([len(name)]) + name.encode() + b"\x07" + len(held).to_bytes(2, "big") + held
    total = 12 + len(written) + len(payload) + 4
    prelude = total.to_bytes(4, "big") + len(written).to_bytes(4, "big")
    whole = prelude + zlib.crc32(prelude).to_bytes(4, "big") + bytes(written) + payload
    return whole + zlib.crc32(whole).to_bytes(4, "big")


def event(kind: str, payload: dict[str, object]) -> bytes:
    """An event; the vendor pads its payload with ``p`` against guessing from sizes."""
    named = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    return message(named, packed({**payload, "p": alphabet[: len(packed(payload)) * 7 % 40 + 1]}))


def exception(kind: str, payload: dict[str, object]) -> bytes:
    """An exception in the stream."""
    named = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return message(named, packed(payload))


def new_id() -> str:
    """A tool use id."""
    return f"tooluse_{secrets.token_urlsafe(16)}"
