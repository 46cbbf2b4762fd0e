"""The context object that handlers and middleware know from the stock runtime."""

from __future__ import annotations

import json
import os
import time
from types import SimpleNamespace
from typing import Any

from headgate_runtime.api import Invocation


class Context:
    """One invocation's context. The attributes are those of the stock runtime, also where they are strings."""

    def __init__(self, invocation: Invocation) -> None:
        self.aws_request_id = invocation.request_id
        self.deadline_ms = invocation.deadline_ms
        self.invoked_function_arn = invocation.function_arn
        self.tenant_id = invocation.tenant_id
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME", "")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", "")
        self.client_context: Any = _namespace(invocation.client_context, ("custom", "env", "client"))
        identity = json.loads(invocation.cognito_identity) if invocation.cognito_identity else {}
        self.identity = SimpleNamespace(
            cognito_identity_id=identity.get("cognitoIdentityId"),
            cognito_identity_pool_id=identity.get("cognitoIdentityPoolId"),
        )

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends this invocation by force."""
        return max(0, self.deadline_ms - int(time.time() * 1000))


def _namespace(text: str | None, names: tuple[str, ...]) -> SimpleNamespace | None:
    if not text:
        return None
    values = json.loads(text)
    return SimpleNamespace(**{name: values.get(name) for name in names})
