"""Replicas on a Ray cluster by Ray Serve: the one application in several processes, behind Ray's proxies.

    client -> proxy (one per node) -> the replica with fewer requests: gate, application, models, decoding workers
                                      all replicas -> `Commons`: uploaded files, figures of each replica

Ray starts replicas, adds them under load, replaces those that die, and lets those that go finish what they began. A
question about an uploaded file may reach any replica, so the files are in an actor that all of them ask; each replica
computes a file's features for itself. Limits and room are each replica's.

Left out on purpose: routing by session, which takes clients that send a header for it.
"""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import ray
from prometheus_client.metrics_core import Metric
from ray import serve
from ray.serve.config import AutoscalingConfig, HTTPOptions
from ray.serve.schema import LoggingConfig
from transformers.utils.logging import disable_progress_bar as hide_progress_bars

from r1omni.config.serving import ServeConfig
from r1omni.core.errors import NotReadyError
from r1omni.serve.api_schema import FileCard
from r1omni.serve.failures import ApiError
from r1omni.serve.model_process import load_parts
from r1omni.serve.service import SWEEP_S, Service
from r1omni.serve.service_metrics import replicas_text
from r1omni.serve.supervisor import listen, read_keys
from r1omni.serve.uploaded_files import UploadedFile, UploadedFiles
from r1omni.serve.web_app import build_application

NAME = "r1omni"
"""Of the application, and of the namespace of its actor."""
DOOR_REQUESTS = 32
"""Requests that reach a replica beyond those that it lets in: the gate refuses them, and health is asked for."""
SILENT_S = 60.0
"""Seconds after which the figures of a replica that reports no more are left out."""
WATCH_S = 2.0
"""Seconds between two looks at the application."""
CONSTRUCTOR_TRIES = 2


class Commons:
    """What all replicas share: uploaded files, and each one's figures. One actor in the cluster, in memory alone.

    Args:
        max_bytes: what the files may take.
        kept_s: seconds each is held.
    """

    def __init__(self, max_bytes: int, kept_s: float) -> None:
        self._files = UploadedFiles(max_bytes, kept_s, lambda _: None)
        self._figures: dict[str, tuple[float, list[Metric]]] = {}

    async def add(self, content: bytes, filename: str, purpose: str, owner: str) -> FileCard | ApiError:
        """Hold a file; an error is returned, because Ray wraps those that are raised."""
        try:
            return await self._files.add(content, filename, purpose, owner)
        except ApiError as error:
            return error

    async def get(self, file_id: str, owner: str) -> tuple[UploadedFile, float] | ApiError:
        """Return a file, and the seconds for which it will be held: nodes have clocks of their own."""
        try:
            file = await self._files.get(file_id, owner)
        except ApiError as error:
            return error
        return file, file.until_s - time.monotonic()

    async def delete(self, file_id: str, owner: str) -> ApiError | None:
        """Drop a file."""
        try:
            await self._files.delete(file_id, owner)
        except ApiError as error:
            return error
        return None

    async def held(self) -> tuple[int, frozenset[str]]:
        """Return the bytes and the digests of the files that are held."""
        await self._files.sweep()
        return self._files.num_bytes, self._files.digests

    async def exchange(self, replica: str, figures: list[Metric]) -> dict[str, list[Metric]]:
        """Take a replica's figures and return all replicas'.

        Args:
            replica: its name.
            figures: what it counted.
        """
        now_s = time.monotonic()
        self._figures[replica] = now_s, figures
        self._figures = {name: entry for name, entry in self._figures.items() if now_s - entry[0] < SILENT_S}
        return {name: entry[1] for name, entry in sorted(self._figures.items())}


class SharedFiles:
    """The files of `Commons`, as one replica sees them.

    Args:
        commons: the actor.
        on_gone: called with the digest of a file that was used here, some seconds after it has gone.
    """

    def __init__(self, commons: Any, on_gone: Callable[[str], None]) -> None:
        self._commons, self._on_gone = commons, on_gone
        self.num_bytes = 0
        """When it was last looked up."""
        self._used: set[str] = set()

    async def add(self, content: bytes, filename: str, purpose: str, owner: str) -> FileCard:
        """Hold a file; see `UploadedFiles.add`."""
        return _value(await self._commons.add.remote(content, filename, purpose, owner))

    async def get(self, file_id: str, owner: str) -> UploadedFile:
        """Return a file; see `UploadedFiles.get`."""
        file, left_s = _value(await self._commons.get.remote(file_id, owner))
        self._used.add(file.digest)
        return replace(file, until_s=time.monotonic() + left_s)

    async def delete(self, file_id: str, owner: str) -> None:
        """Drop a file; see `UploadedFiles.delete`."""
        _value(await self._commons.delete.remote(file_id, owner))
        await self.sweep()

    async def sweep(self) -> None:
        """Forget what others deleted, or what is over."""
        self.num_bytes, held = await self._commons.held.remote()
        for digest in self._used - held:
            self._on_gone(digest)
        self._used &= held


def _value(found: Any) -> Any:
    if isinstance(found, ApiError):
        raise found
    return found


class ReplicaService(Service):
    """A service whose files and figures are the cluster's.

    Args:
        config: the server's.
        commons: the actor that all replicas share.
        name: of this replica.
    """

    def __init__(self, config: ServeConfig, commons: Any, name: str) -> None:
        super().__init__(config, files=SharedFiles(commons, self.forget))
        self._commons, self._name = commons, name

    async def figures(self) -> bytes:
        """Return the figures of all replicas: its own are of now, the others' some seconds old."""
        return replicas_text(await self._exchange())

    async def sweep(self) -> None:
        """Report figures besides."""
        reporting = asyncio.create_task(self._report())
        try:
            await super().sweep()
        finally:
            reporting.cancel()

    async def _report(self) -> None:
        while True:
            await self._exchange()
            await asyncio.sleep(SWEEP_S)

    async def _exchange(self) -> dict[str, Sequence[Metric]]:
        return await self._commons.exchange.remote(self._name, list(self.metrics.registry.collect()))


@serve.ingress()
class Replica:
    """One process that holds the models.

    Args:
        config: the server's, as JSON values. API keys are not in it: each replica reads their file.
    """

    async def __init__(self, config: dict[str, Any]) -> None:
        settings = ServeConfig.model_validate(config)
        hide_progress_bars()
        keys = read_keys(settings.api_keys_file)
        self._service = ReplicaService(settings, _commons(settings), serve.get_replica_context().replica_id.unique_id)
        self._service.open(*await asyncio.to_thread(load_parts, settings))
        self._gate = build_application(self._service, keys).gate

    def __serve_build_asgi_app__(self) -> Any:
        """Return the application, which Ray serves."""
        return self._gate

    def check_health(self) -> None:
        """Let Ray replace this replica when a model's thread has ended.

        Raises:
            NotReadyError: one has.
        """
        if not self._service.is_ready:
            raise NotReadyError("A model's thread has ended; this replica has to be started again.")

    def __del__(self) -> None:
        """End models and workers; Ray waits for the requests before."""
        self._service.close(finish=False)


def _commons(config: ServeConfig) -> Any:
    """Return the actor that all replicas share; the first one starts it."""
    options = {"name": "commons", "namespace": NAME, "get_if_exists": True, "lifetime": "detached"}
    actor = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=1)(Commons)
    return actor.options(**options).remote(config.files_bytes, config.files_s)


def build_replicas(config: ServeConfig) -> serve.Application:
    """Return the application as Ray Serve deploys it; also what a Serve configuration file imports.

    Args:
        config: the server's.
    """
    section = config.ray
    most = config.batch_size + config.max_queued
    count: dict[str, Any] = {"num_replicas": section.replicas}
    if section.max_replicas is not None:
        count = {
            "autoscaling_config": AutoscalingConfig(
                min_replicas=section.replicas,
                max_replicas=section.max_replicas,
                target_ongoing_requests=section.target_requests or config.batch_size,
            )
        }
    quiet = {"TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}
    deployment: Any = serve.deployment(
        Replica,
        name=NAME,
        # The gate of a replica refuses what is too much with 429; what waits before it, Ray refuses with 503.
        max_ongoing_requests=most + DOOR_REQUESTS,
        max_queued_requests=most,
        graceful_shutdown_wait_loop_s=0.5,
        graceful_shutdown_timeout_s=config.shutdown_s,
        max_constructor_retry_count=CONSTRUCTOR_TRIES,
        ray_actor_options={
            "num_cpus": section.num_cpus,
            "num_gpus": section.num_gpus,
            "runtime_env": {"env_vars": quiet},
        },
        **count,
    )
    return deployment.bind(config.model_dump(mode="json"))


def run_replicas(config: ServeConfig, announce: Callable[[str], None]) -> int:
    """Serve on a Ray cluster until SIGTERM or Ctrl-C; returns the exit code.

    Args:
        config: the server's.
        announce: called with a sentence for the person who started it.

    Raises:
        ConfigError: the address cannot be listened on, or the API keys cannot be read.
        NotReadyError: the replicas do not start.
    """
    read_keys(config.api_keys_file)
    with listen(config.host, config.port) as taken:
        port = int(taken.getsockname()[1])
    is_own = _connect()
    ended = threading.Event()
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        _warn_of_room(config, announce)
        logging_config = LoggingConfig(log_level="WARNING", enable_access_log=False)
        options = HTTPOptions(host=config.host, port=port, request_timeout_s=config.request_s + WATCH_S)
        serve.start(proxy_location="EveryNode", http_options=options, logging_config=logging_config)
        try:
            serve.run(build_replicas(config), name=NAME, route_prefix="/", logging_config=logging_config)
        except RuntimeError as error:
            raise NotReadyError(f"The replicas did not start: {_last_line(error)}") from error
        host = f"[{config.host}]" if ":" in config.host else config.host
        announce(f"Ready: http://{host}:{port}")
        code = 0
        while not ended.wait(WATCH_S):
            if NAME not in serve.status().applications:
                announce("The application was taken off the cluster.")
                code = 1
                break
        return code
    finally:
        _end(is_own)


def _connect() -> bool:
    """Connect to the cluster at RAY_ADDRESS, or start one here, on loopback; returns whether it is our own."""
    if ray.is_initialized():
        return False
    quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**quiet)
        return False
    ray.init(address="local", _node_ip_address="127.0.0.1", **quiet)
    return True


def _warn_of_room(config: ServeConfig, announce: Callable[[str], None]) -> None:
    """Say so when the cluster has no room for the replicas, which then wait for it."""
    have, section = ray.cluster_resources(), config.ray
    for kind, each in (("CPU", section.num_cpus), ("GPU", section.num_gpus)):
        needed = each * section.replicas
        if needed > have.get(kind, 0):
            announce(
                f"Warning: ray.replicas {section.replicas} needs {needed:g} {kind}s and the cluster has "
                f"{have.get(kind, 0):g}; it waits for nodes. Lower it, or ray.num_{kind.lower()}s."
            )


def _end(is_own: bool) -> None:
    """Let replicas finish what they began, and leave nothing of ours on the cluster."""
    with suppress(Exception):  # a cluster that has gone holds nothing
        serve.delete(NAME)
    with suppress(ValueError):
        ray.kill(ray.get_actor("commons", namespace=NAME))
    if is_own:
        serve.shutdown()
        ray.shutdown()


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
