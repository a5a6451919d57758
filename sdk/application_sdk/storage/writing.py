"""Writes an object piece by piece: what `FileStorage.open_writer` gives."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Final

from application_sdk.contracts.types import FileReference, StorageTier
from application_sdk.storage.store import UNKNOWN_SIZE, Store
from application_sdk.storage.transfer import Tick

_PIECE_BYTES: Final = 1024 * 1024


class FileWriter:
    """Writes one object. `ref` refers to it once it is complete."""

    def __init__(self, store: Store, key: str, content_type: str, tier: StorageTier, tick: Tick) -> None:
        self._store, self._key, self._type, self._tier, self._tick = store, key, content_type, tier, tick
        self._hasher = hashlib.sha256()
        self._size = 0
        self._unsent = bytearray()
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=4)
        self._upload: asyncio.Task[None] | None = None
        self.ref: FileReference = FileReference()

    async def write(self, content: bytes) -> None:
        """Add bytes. Waits while the store is slower than the caller."""
        self._hasher.update(content)
        self._size += len(content)
        self._unsent += content
        if len(self._unsent) >= _PIECE_BYTES:
            await self._send()

    async def finish(self) -> None:
        """All is written."""
        if self._upload is None:
            await self._store.put_bytes(self._key, bytes(self._unsent), self._type)
        else:
            await self._send()
            await self._offer(None)
            await self._upload
        self.ref = FileReference(
            storage_path=self._key,
            is_durable=True,
            tier=self._tier,
            sha256=self._hasher.hexdigest(),
            size_bytes=self._size,
            name=self._key.rpartition("/")[2],
            content_type=self._type,
        )

    async def abort(self) -> None:
        """Leave nothing behind."""
        if self._upload is not None:
            self._upload.cancel()
            await asyncio.gather(self._upload, return_exceptions=True)

    async def _send(self) -> None:
        piece, self._unsent = bytes(self._unsent), bytearray()
        if self._upload is None:
            self._upload = asyncio.ensure_future(self._store.put(self._key, self._chunks(), UNKNOWN_SIZE, self._type))
        if piece:
            await self._offer(piece)

    async def _offer(self, content: bytes | None) -> None:
        upload = self._upload
        if upload is None:
            return
        offering = asyncio.ensure_future(self._queue.put(content))
        await asyncio.wait({offering, upload}, return_when=asyncio.FIRST_COMPLETED)
        if upload.done() and not offering.done():
            offering.cancel()
            await upload  # Raises what went wrong.

    async def _chunks(self) -> AsyncIterator[bytes]:
        while (chunk := await self._queue.get()) is not None:
            yield chunk
            self._tick(f"{self._size} bytes of {self._key} written")
