"""Everything a running server holds: models by name, decoding workers, uploaded files, and figures."""

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from r1omni.config.serving import ServeConfig
from r1omni.serve.clip_parts import ClipParts
from r1omni.serve.decode_pool import DecodePool
from r1omni.serve.failures import ApiError
from r1omni.serve.measure_pool import MeasurePool
from r1omni.serve.remote_clip import RemoteClips
from r1omni.serve.served_model import ServedModel
from r1omni.serve.service_metrics import ServiceMetrics
from r1omni.serve.uploaded_files import FileStore, UploadedFiles

EXPLAINED_AT_ONCE = 2
"""Explanations that take turns with the answers that are being written; others wait."""
SWEEP_S = 5.0
"""Seconds between two looks for files and features whose time is over."""


class Service:
    """The parts that the routes use.

    Args:
        config: the server's.
        restarts: how often the model process was started again.
        remote: fetches URLs; None makes it from the configuration.
        files: holds uploaded files for several processes; None holds them here.
    """

    def __init__(
        self,
        config: ServeConfig,
        restarts: int = 0,
        remote: RemoteClips | None = None,
        files: FileStore | None = None,
    ) -> None:
        self.config, self.restarts = config, restarts
        self.metrics = ServiceMetrics(restarts)
        self.models: dict[str, ServedModel] = {}
        """By name; empty until they are loaded."""
        self.pool: DecodePool | None = None
        self.measuring = MeasurePool(config.measuring_bytes, config.measuring_s)
        self.explaining = ThreadPoolExecutor(EXPLAINED_AT_ONCE, "explain")
        """Explanations are worked out here, and computed by the models' owners."""
        self.files: FileStore = files or UploadedFiles(config.files_bytes, config.files_s, self.forget)
        self.parts = ClipParts(
            self.files,
            remote
            or RemoteClips(
                config.remote.hosts,
                max_bytes=config.clip.max_bytes,
                timeout_s=config.remote.timeout_s,
                max_redirects=config.remote.max_redirects,
            ),
            config.features_s,
        )
        self.is_draining = False
        self.metrics.watch("decoding_workers_replaced", "Workers that were replaced.", self._num_replaced)
        self.metrics.watch("decoded_clips", "Clips that workers decoded or refused.", self._num_decoded)
        self.metrics.watch("queued_requests", "Requests that wait for a model.", self._num_queued)
        self.metrics.watch("uploaded_bytes", "Bytes of uploaded files.", lambda: self.files.num_bytes)
        self.metrics.watch("feature_bytes", "Bytes of features kept.", self._feature_bytes)

    def open(self, pool: DecodePool, models: Mapping[str, ServedModel]) -> None:
        """Begin to answer.

        Args:
            pool: decodes clips.
            models: by name.
        """
        self.pool, self.models = pool, dict(models)

    @property
    def is_ready(self) -> bool:
        """Whether requests are answered."""
        return bool(self.models) and not self.is_draining and all(m.thread.is_alive for m in self.models.values())

    @property
    def confinement(self) -> list[str]:
        """What keeps decoding workers in."""
        return [] if self.pool is None else self.pool.confinement

    def model(self, name: str) -> ServedModel:
        """Return the model that a request names.

        Args:
            name: of the request.

        Raises:
            ApiError: there is none, or none is loaded yet.
        """
        if not self.models:
            raise ApiError(503, "The model is still being loaded; ask again.", "loading", headers={"Retry-After": "2"})
        if name not in self.models:
            raise ApiError(
                404,
                f"There is no model {name[:100]!r} here; the models are {', '.join(sorted(self.models))}.",
                "model_not_found",
                "model",
            )
        return self.models[name]

    async def sweep(self) -> None:
        """Forget what is over, for as long as the server runs."""
        while True:
            await asyncio.sleep(SWEEP_S)
            await self.files.sweep()
            for model in self.models.values():
                model.shelf.sweep(time.monotonic())

    def forget(self, digest: str) -> None:
        """Forget the features of a file.

        Args:
            digest: of its content.
        """
        for model in self.models.values():
            model.shelf.forget(digest)

    async def figures(self) -> bytes:
        """Return what `/metrics` shows."""
        return self.metrics.text()

    def close(self, *, finish: bool) -> None:
        """End models and workers.

        Args:
            finish: answer what was begun first.
        """
        for model in self.models.values():
            with suppress(RuntimeError):
                model.close(finish=finish, timeout_s=self.config.shutdown_s)
        self.explaining.shutdown(wait=False, cancel_futures=True)
        self.measuring.close()
        if self.pool is not None:
            self.pool.close()

    def _num_replaced(self) -> float:
        return self.measuring.num_replaced + (0 if self.pool is None else self.pool.num_replaced)

    def _num_decoded(self) -> float:
        return 0 if self.pool is None else self.pool.num_opened

    def _num_queued(self) -> float:
        return sum(model.thread.num_queued for model in self.models.values())

    def _feature_bytes(self) -> float:
        return sum(model.shelf.num_bytes for model in self.models.values())
