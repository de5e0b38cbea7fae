"""Files that clients uploaded: in memory, for a while, each for the key that brought it.

`UploadedFiles` holds them in this process. Where several processes answer, they share one store; see `FileStore`.
"""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from r1omni.serve.api_schema import FileCard
from r1omni.serve.failures import ApiError


@dataclass(frozen=True)
class UploadedFile:
    """One file."""

    card: FileCard
    owner: str
    content: bytes
    until_s: float
    """On the monotonic clock."""

    @property
    def digest(self) -> str:
        """SHA-256 of its content."""
        return hashlib.sha256(self.content).hexdigest()


@runtime_checkable
class FileStore(Protocol):
    """Where uploaded files are."""

    @property
    def num_bytes(self) -> int:
        """Bytes of the files that are held."""
        ...

    async def add(self, content: bytes, filename: str, purpose: str, owner: str) -> FileCard:
        """Hold a file; see `UploadedFiles.add`."""
        ...

    async def get(self, file_id: str, owner: str) -> UploadedFile:
        """Return a file; see `UploadedFiles.get`."""
        ...

    async def delete(self, file_id: str, owner: str) -> None:
        """Drop a file; see `UploadedFiles.delete`."""
        ...

    async def sweep(self) -> None:
        """Drop what is over."""
        ...


class UploadedFiles:
    """Holds files until their time is over or newer ones need the room.

    Args:
        max_bytes: what all of them may take.
        kept_s: seconds each is held.
        on_gone: called with the digest of each file that is dropped.
    """

    def __init__(self, max_bytes: int, kept_s: float, on_gone: Callable[[str], None]) -> None:
        self.max_bytes, self.kept_s, self._on_gone = max_bytes, kept_s, on_gone
        self.num_bytes = 0
        self._files: OrderedDict[str, UploadedFile] = OrderedDict()

    async def add(self, content: bytes, filename: str, purpose: str, owner: str) -> FileCard:
        """Hold a file.

        Args:
            content: its bytes.
            filename: what the client calls it; only given back.
            purpose: likewise.
            owner: who may use it.

        Raises:
            ApiError: it is larger than all files together may be.
        """
        if len(content) > self.max_bytes:
            raise ApiError(
                413, f"The file has {len(content):,} bytes, and all files may take {self.max_bytes:,}.", "too_large"
            )
        now = int(time.time())
        card = FileCard(
            id=f"file-{secrets.token_hex(16)}",
            bytes=len(content),
            created_at=now,
            expires_at=now + int(self.kept_s),
            filename=filename,
            purpose=purpose,
        )
        self._sweep()
        while self.num_bytes + len(content) > self.max_bytes:
            self._drop(next(iter(self._files)))
        self._files[card.id] = UploadedFile(card, owner, content, time.monotonic() + self.kept_s)
        self.num_bytes += len(content)
        return card

    async def get(self, file_id: str, owner: str) -> UploadedFile:
        """Return a file.

        Args:
            file_id: its id.
            owner: who asks.

        Raises:
            ApiError: it does not exist, is gone, or is somebody else's.
        """
        self._sweep()
        file = self._files.get(file_id)
        if file is None or file.owner != owner:
            raise ApiError(
                404,
                f"There is no file {file_id}; files are held for {self.kept_s:g} s. Upload it again.",
                "file_not_found",
            )
        return file

    async def delete(self, file_id: str, owner: str) -> None:
        """Drop a file; arguments and errors are those of `get`."""
        self._drop((await self.get(file_id, owner)).card.id)

    async def sweep(self) -> None:
        """Drop what is over."""
        self._sweep()

    @property
    def digests(self) -> frozenset[str]:
        """SHA-256 of each file that is held."""
        return frozenset(file.digest for file in self._files.values())

    def _sweep(self) -> None:
        now_s = time.monotonic()
        for file_id in [file_id for file_id, file in self._files.items() if file.until_s <= now_s]:
            self._drop(file_id)

    def _drop(self, file_id: str) -> None:
        file = self._files.pop(file_id)
        self.num_bytes -= len(file.content)
        self._on_gone(file.digest)
