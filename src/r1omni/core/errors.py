"""The errors a caller can act on.

    R1OmniError
    ├── ConfigError        (ValueError)    a setting that cannot be used
    ├── ManifestError      (ValueError)    a manifest line that cannot be read
    ├── DatasetError       (ValueError)    a release on disk that is not what it should be
    ├── MediaError         (ValueError)    a clip that cannot be read; carries a `kind`
    ├── CheckpointError    (ValueError)    a checkpoint that cannot be loaded
    ├── WriteError         (OSError)       a file that cannot be written
    ├── NotReadyError      (RuntimeError)  a stage whose precondition does not hold
    ├── DivergedError      (RuntimeError)  training that went wrong and was stopped
    ├── GenerationError    (RuntimeError)  a request that could not be answered; carries its number
    ├── BusyError          (RuntimeError)  a queue that takes no more requests
    └── StoppedError       (RuntimeError)  work that was asked to stop and can go on later

A message says what was found, what was expected and how to fix it. The command line prints it as one line and exits
with 1 (2 for `ConfigError`: wrong use; 143 for `StoppedError`, as after SIGTERM).
"""

from typing import Literal

MediaErrorKind = Literal[
    "missing",
    "empty",
    "not-media",
    "truncated",
    "no-streams",
    "no-frames",
    "no-sound",
    "invalid-samples",
    "unreadable",
    "over-limit",
]


class R1OmniError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(R1OmniError, ValueError):
    """A setting, flag or configuration file that cannot be used."""


class ManifestError(R1OmniError, ValueError):
    """A manifest, or a line of one, that cannot be read."""


class DatasetError(R1OmniError, ValueError):
    """A release on disk that lacks a file or does not have the expected layout."""


class MediaError(R1OmniError, ValueError):
    """A clip that cannot be read.

    Args:
        kind: what is wrong, as one word that predictions.jsonl and reports can count.
        message: one sentence with the path, what was found and how to fix it.
    """

    def __init__(self, kind: MediaErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind: MediaErrorKind = kind

    def __reduce__(self) -> tuple[type["MediaError"], tuple[MediaErrorKind, str]]:
        """Pickle with both arguments, so that the error survives a process pool."""
        return type(self), (self.kind, str(self))


class CheckpointError(R1OmniError, ValueError):
    """A checkpoint that lacks a part, has a wrong shape, or cannot be read."""


class WriteError(R1OmniError, OSError):
    """A file that could not be written: a full disk, or a folder without write permission."""


class NotReadyError(R1OmniError, RuntimeError):
    """A stage that refuses to start because its precondition does not hold."""


class DivergedError(R1OmniError, RuntimeError):
    """Training that produced a NaN or an exploding KL and was stopped at the last good checkpoint."""


class StoppedError(R1OmniError, RuntimeError):
    """Work that was asked to stop (SIGTERM), saved what it had, and can be started again."""


class GenerationError(R1OmniError, RuntimeError):
    """A request to the generator that could not be answered and is gone; it goes on with the others.

    Args:
        request: its number.
        message: one sentence on what went wrong.
    """

    def __init__(self, request: int, message: str) -> None:
        super().__init__(message)
        self.request = request

    def __reduce__(self) -> tuple[type["GenerationError"], tuple[int, str]]:
        """Pickle with both arguments, so that the error crosses a process pool."""
        return type(self), (self.request, str(self))


class BusyError(R1OmniError, RuntimeError):
    """A queue that takes no more requests: it is full, or closed."""
