"""Tower features on disk, so that a clip passes the frozen towers once in the life of a project.

An entry is named by what it was made from: the clip's bytes, its part, the towers' weights and the preprocessing. It is
written under a temporary name and renamed, so that a reader never sees half of one and any number of writers may race.
Entries that were read least recently go first when the folder grows over its bound. An entry that cannot be read is a
miss.
"""

import contextlib
import hashlib
import os
import tempfile
import time
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from r1omni.core.clip import Clip
from r1omni.infer.features import Features
from r1omni.media.folder import content_files


def feature_key(clip: Clip, fingerprint: str) -> str:
    """Name of a clip's entry.

    Args:
        clip: the clip; its file, or the pictures of its folder, are read.
        fingerprint: what identifies the towers and the preprocessing.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256(f"{fingerprint}|{clip.start_s}|{clip.stop_s}|".encode())
    for path in content_files(clip.path):
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


class FeatureCache:
    """A folder of features.

    Args:
        folder: made if it is not there; may be shared by any number of processes.
        max_bytes: bound on the size of the entries.
    """

    def __init__(self, folder: str | Path, max_bytes: int = 20 * 2**30) -> None:
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self.folder.mkdir(parents=True, exist_ok=True)
        self._num_bytes = sum(size for _, size, _ in self._entries())

    def get(self, key: str) -> Features | None:
        """Return the entry, or None where there is none that can be read."""
        path = self._path(key)
        try:
            tensors = load_file(path)
            _touch(path)
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError):
            path.unlink(missing_ok=True)
            return None
        return Features(tensors.get("video"), tensors.get("audio"))

    def put(self, key: str, features: Features) -> None:
        """Write an entry.

        Raises:
            OSError: the disk is full or the folder cannot be written; nothing half-written is left.
        """
        path = self._path(key)
        path.parent.mkdir(exist_ok=True)
        tensors = {"video": features.video, "audio": features.audio}
        handle, name = tempfile.mkstemp(suffix=".partial", dir=path.parent)
        os.close(handle)
        try:
            save_file({part: tensor.contiguous() for part, tensor in tensors.items() if tensor is not None}, name)
            _touch(Path(name))
            os.replace(name, path)
        except SafetensorError as error:
            Path(name).unlink(missing_ok=True)
            raise OSError(str(error)) from error
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        self._num_bytes += features.num_bytes
        if self._num_bytes > self.max_bytes:
            self._shrink()

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"

    def _entries(self) -> list[tuple[int, int, Path]]:
        entries = []
        for path in self.folder.glob("*/*.safetensors"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                entries.append((status.st_mtime_ns, status.st_size, path))
        return entries

    def _shrink(self) -> None:
        """Remove the entries read least recently until a tenth of the bound is free."""
        entries = sorted(self._entries())
        self._num_bytes = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if self._num_bytes <= 0.9 * self.max_bytes:
                break
            path.unlink(missing_ok=True)
            self._num_bytes -= size


def _touch(path: Path) -> None:
    """Set the time of reading; the kernel's own stamps are milliseconds coarse."""
    os.utime(path, ns=(time.time_ns(), time.time_ns()))
