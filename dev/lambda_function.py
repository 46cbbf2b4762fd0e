"""What the emulator is given to serve, and how it says that serving failed."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

RUNTIME_LAYER = Path(__file__).resolve().parent.parent / "layers" / "runtime"
"""What is at ``/opt`` when deployed."""


@dataclass(frozen=True)
class Function:
    """A function to be served.

    ``directory`` is its code (``LAMBDA_TASK_ROOT``), ``routes`` the path prefixes that it answers, ``environment`` its
    own variables beside those that Lambda sets, ``python_path`` what its layers would add, ``timeout`` in seconds.
    Nothing is inherited from the emulator's own environment. ``stock_runtime`` is the interpreter's arguments that the
    wrapper gets and runs if it steps aside, by default AWS's runtime interface client.
    """

    name: str
    directory: Path
    routes: tuple[str, ...] = ("/",)
    handler: str = "app.handler"
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    python_path: tuple[Path, ...] = ()
    timeout: float = 900.0
    memory_mb: int = 1024
    python: str = sys.executable
    wrapper: Path = RUNTIME_LAYER / "headgate-runtime"
    stock_runtime: tuple[str, ...] = ()
    snap_start: bool = False

    def command(self) -> list[str]:
        """What an environment runs: the exec wrapper with the stock runtime's command line."""
        return [str(self.wrapper), self.python, *(self.stock_runtime or ("-m", "awslambdaric", self.handler))]

    def variables(self, runtime_api: str, environment_id: str) -> dict[str, str]:
        """The environment variables of its processes."""
        variables = {
            "_HANDLER": self.handler,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
            "AWS_LAMBDA_EXEC_WRAPPER": str(self.wrapper),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory_mb),
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start" if self.snap_start else "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": environment_id,
            "AWS_LAMBDA_RUNTIME_API": runtime_api,
            "AWS_REGION": "us-east-1",
            "LAMBDA_TASK_ROOT": str(self.directory),
            "LANG": "en_US.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": os.pathsep.join(str(path) for path in self.python_path),
            "TZ": ":UTC",
        }
        return variables | dict(self.environment)


class FunctionFailed(Exception):
    """An invocation or a start that failed. ``kind`` is Lambda's name for it, ``log`` the environment's last lines."""

    def __init__(self, kind: str, message: str, log: list[str]) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
        self.log = log
