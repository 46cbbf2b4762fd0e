"""Standard output and ``logging`` set up as the stock runtime has them: one line a record, the request id on each."""

from __future__ import annotations

import contextvars
import json
import logging
import sys
import time
from collections.abc import Mapping
from io import TextIOWrapper

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")
"""The id of the invocation that is being served, for log lines."""

logger = logging.getLogger("headgate_runtime")


class _LineFormatter(logging.Formatter):
    """The stock runtime's text form. A traceback's newlines become \\r, which CloudWatch keeps in one entry."""

    converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        stamp = f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z"
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return f"[{record.levelname}]\t{stamp}\t{request_id.get()}\t" + text.replace("\n", "\r")


class _JsonFormatter(logging.Formatter):
    """The stock runtime's JSON form, for functions whose logging is configured as JSON."""

    converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, str | list[str]] = {
            "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            "requestId": request_id.get(),
        }
        if record.exc_info:
            entry["stackTrace"] = self.formatException(record.exc_info).splitlines()
        return json.dumps(entry)


def configure_logging(environ: Mapping[str, str]) -> None:
    """Send log records to standard output at once: a frozen process would keep what is still in a buffer."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonFormatter() if environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON" else _LineFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    # Lambda names a level TRACE and FATAL too; logging knows neither by these names.
    level = environ.get("AWS_LAMBDA_LOG_LEVEL", "WARNING")
    root.setLevel({"TRACE": "DEBUG", "FATAL": "CRITICAL", "WARN": "WARNING"}.get(level, level))
