"""What to run after Lambda has restored the process from a SnapStart snapshot.

Code that may not depend on this layer puts its hooks into ``app.state.on_restore`` (a list of functions) instead; both
are run, these first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

RestoreHook = Callable[[], Awaitable[Any] | None]

_hooks: list[RestoreHook] = []


def on_restore(hook: RestoreHook) -> RestoreHook:
    """Register a function, plain or async, to run after a restore. Returns it, so that it works as a decorator."""
    _hooks.append(hook)
    return hook


def registered() -> list[RestoreHook]:
    """The hooks registered so far, in order."""
    return list(_hooks)


def clear() -> None:
    """Forget every hook (for tests)."""
    _hooks.clear()
