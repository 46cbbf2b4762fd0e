"""How an exception is described to Lambda."""

from __future__ import annotations

import traceback
from typing import TypedDict

_MESSAGE_LIMIT = 4_096  # characters; as a trailer, the report shares the Go server's 1 MB for all headers
_STACK_LIMIT = 30  # frames, the innermost


class Fault(TypedDict):
    """The Runtime API's error object."""

    errorMessage: str
    errorType: str
    requestId: str
    stackTrace: list[str]


class InitError(Exception):
    """The function cannot be served. ``kind`` is one of Lambda's names, such as ``Runtime.ImportModuleError``."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def describe(error: BaseException, request_id: str = "") -> Fault:
    """An exception as the Runtime API's error object. The type is plain ASCII, since it is also sent as a header."""
    kind = error.kind if isinstance(error, InitError) else type(error).__name__
    cause = error.__cause__ if isinstance(error, InitError) and error.__cause__ else error
    return {
        "errorMessage": str(error)[:_MESSAGE_LIMIT],
        "errorType": kind.encode("ascii", "replace").decode(),
        "requestId": request_id,
        "stackTrace": traceback.format_list(traceback.extract_tb(cause.__traceback__))[-_STACK_LIMIT:],
    }
