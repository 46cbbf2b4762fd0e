"""The vendors' prompt caches, and a cache of ready-made stream frames for long answers."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

_LOOK_BACK = 20
"""Anthropic looks for a cached prefix at a breakpoint and at up to this many blocks before it."""


@dataclass
class Block:
    """A piece of a prompt: its canonical text, its size in tokens, and its cache mark (``5m``, ``1h``) if any."""

    text: str
    tokens: int
    mark: str | None = None


@dataclass
class CacheUse:
    """Input tokens by class; they add up to the prompt."""

    fresh: int
    read: int = 0
    written_5m: int = 0
    written_1h: int = 0


class PromptCache:
    """Prefixes seen before, by owner. Nothing expires but by number, and there is no least size for a marked prefix
    (the vendor's is 1,024 tokens and more), so that tests can be small."""

    def __init__(self, most: int = 20_000) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._most = most

    def _hashes(self, owner: str, blocks: list[Block]) -> list[str]:
        running = hashlib.sha256(owner.encode())
        hashes: list[str] = []
        for block in blocks:
            running.update(block.text.encode("utf-8", "surrogatepass") + b"\0")
            hashes.append(running.copy().hexdigest())
        return hashes

    def _keep(self, key: str) -> None:
        self._seen[key] = None
        self._seen.move_to_end(key)
        while len(self._seen) > self._most:
            self._seen.popitem(last=False)

    def explicit(self, owner: str, blocks: list[Block]) -> CacheUse:
        """The use under marked blocks: the longest known prefix is read, the rest up to the last mark is written."""
        total = sum(block.tokens for block in blocks)
        marks = [index for index, block in enumerate(blocks) if block.mark]
        if not marks:
            return CacheUse(total)
        hashes = self._hashes(owner, blocks)
        candidates = {at for mark in marks for at in range(max(0, mark - _LOOK_BACK), mark + 1)}
        hit = max((at for at in candidates if hashes[at] in self._seen), default=-1)
        use = CacheUse(0, read=sum(block.tokens for block in blocks[: hit + 1]))
        start = hit + 1
        for mark in marks:
            self._keep(hashes[mark])
            if mark < start:
                continue
            written = sum(block.tokens for block in blocks[start : mark + 1])
            if blocks[mark].mark == "1h":
                use.written_1h += written
            else:
                use.written_5m += written
            start = mark + 1
        use.fresh = total - use.read - use.written_5m - use.written_1h
        return use

    def automatic(self, owner: str, blocks: list[Block]) -> CacheUse:
        """The use of OpenAI's automatic caching: whole 128s of a known prefix of at least 1,024 tokens."""
        total = sum(block.tokens for block in blocks)
        hashes = self._hashes(owner, blocks)
        known = 0
        running = 0
        for block, key in zip(blocks, hashes, strict=True):
            running += block.tokens
            if key in self._seen:
                known = running
            self._keep(key)
        read = known // 128 * 128 if known >= 1024 else 0
        return CacheUse(total - read, read=read)

    def clear(self) -> None:
        """Forgets every prefix."""
        self._seen.clear()


class FrameCache:
    """Lists of encoded frames by key, so that a benchmark's long answer is encoded once."""

    def __init__(self, most: int = 32) -> None:
        self._kept: OrderedDict[Hashable, list[bytes]] = OrderedDict()
        self._most = most

    def get(self, key: Hashable, build: Callable[[], list[bytes]]) -> list[bytes]:
        """The frames of ``key``, built where they are missing."""
        frames = self._kept.get(key)
        if frames is None:
            frames = self._kept[key] = build()
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return frames
