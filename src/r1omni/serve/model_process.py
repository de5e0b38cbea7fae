"""The process that answers: it loads the models, runs the web application, and ends in good order.

It is started by the supervisor, which owns the listening socket and the line on which this process reads its settings.
The line stays open: when it ends, the supervisor has gone, and this process ends too. It answers `/healthz` at once and
everything else when the models are loaded. After SIGTERM it begins nothing new and finishes what it began.
"""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from pathlib import Path
from types import FrameType

import uvicorn
from transformers.utils.logging import disable_progress_bar as hide_progress_bars

from r1omni.config.sections import EngineSection
from r1omni.config.serving import ServeConfig
from r1omni.core.errors import ConfigError, R1OmniError
from r1omni.infer.engine import build_engine
from r1omni.infer.predict_files import BUNDLED_MODEL, BUNDLED_NOTE
from r1omni.model.load_model import load_model
from r1omni.model.precision import best_device
from r1omni.serve.decode_pool import DecodePool
from r1omni.serve.served_model import ServedModel
from r1omni.serve.service import Service
from r1omni.serve.web_app import Application, build_application

_log = logging.getLogger(__name__)

ENDED = 70
"""Exit code after a model's thread ended by an error: the supervisor starts this process again."""
READY = b"r"
"""Sent on the line when requests are answered."""
WATCH_S = 1.0
"""Seconds between two looks at the models' threads."""


class Server(uvicorn.Server):
    """uvicorn's server, which tells the application that it is ending, and leaves the exit code to the caller.

    Args:
        config: uvicorn's.
        application: what it runs.
    """

    def __init__(self, config: uvicorn.Config, application: Application) -> None:
        super().__init__(config)
        self._application = application

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin nothing new; a second signal also leaves what was begun."""
        if self.should_exit:
            self.force_exit = True
        self._application.gate.is_draining = self._application.service.is_draining = True
        self.should_exit = True


def named_models(config: ServeConfig) -> dict[str, str]:
    """Return where each model is, by the name that requests call it.

    Args:
        config: the server's.

    Raises:
        ConfigError: two models have one name.
    """
    models = dict(config.models)
    if config.model is not None or not models:
        path = Path(config.model or BUNDLED_MODEL)
        name = path.parent.name if path.name == "model" and path.parent.name else path.name
        if name in models:
            raise ConfigError(f"Two models are called {name}; give the one of --model a name too: --models.NAME PATH.")
        models = {name: str(path), **models}
    return models


def load_models(config: ServeConfig, pool: DecodePool) -> dict[str, ServedModel]:
    """Load all models.

    Args:
        config: the server's.
        pool: decodes clips.

    Raises:
        CheckpointError: one of them cannot be loaded.
    """
    settings = EngineSection(batch_size=config.batch_size, kv_bytes=config.kv_bytes, video_pooling=config.video_pooling)
    dtype = config.dtype or ("float32" if best_device().type == "cpu" else "auto")
    models: dict[str, ServedModel] = {}
    for name, path in named_models(config).items():
        loaded = load_model(path, dtype=dtype, device="auto", video_pooling=config.video_pooling)
        models[name] = ServedModel(
            name,
            build_engine(*loaded, settings, keeps=False),
            pool,
            max_queued=config.batch_size + config.max_queued,
            features_bytes=config.features_bytes,
            note=BUNDLED_NOTE if Path(path).resolve() == BUNDLED_MODEL.resolve() else None,
        )
    return models


def load_parts(config: ServeConfig) -> tuple[DecodePool, dict[str, ServedModel]]:
    """Start what decodes clips, and load all models; the arguments of `Service.open`.

    Args:
        config: the server's.

    Raises:
        CheckpointError: a model cannot be loaded.
    """
    pool = DecodePool(config.clip, config.decoding_workers)
    return pool, load_models(config, pool)


async def answer_until_told(
    config: ServeConfig, keys: list[str], restarts: int, line: socket.socket, listening: socket.socket
) -> int:
    """Run the server.

    Args:
        config: its settings.
        keys: API keys.
        restarts: how often this process was started again.
        line: to the supervisor.
        listening: where clients connect.

    Returns:
        The exit code.
    """
    service = Service(config, restarts)
    application = build_application(service, keys)
    server = Server(
        uvicorn.Config(
            application.gate,
            access_log=False,
            log_config=None,
            ws="none",
            http="h11",  # whatever else is installed
            server_header=False,
            timeout_graceful_shutdown=max(1, round(config.shutdown_s)),
        ),
        application,
    )
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    code = await _load(service, server, line)
    while code == 0 and not serving.done():
        await asyncio.wait({serving}, timeout=WATCH_S)
        if not service.is_draining and not all(model.thread.is_alive for model in service.models.values()):
            _log.error("A model's thread has ended by an error; the process ends.")
            code = ENDED
    server.should_exit = True
    await serving
    service.close(finish=False)
    return code


async def _load(service: Service, server: Server, line: socket.socket) -> int:
    """Load the models beside the running server; 0, or the exit code where that fails."""
    loading = asyncio.get_running_loop().run_in_executor(None, load_parts, service.config)
    while not loading.done() and not server.should_exit:
        await asyncio.wait({loading}, timeout=WATCH_S / 10)
    if not loading.done():
        return 0
    try:
        service.open(*loading.result())
    except R1OmniError as error:
        print(f"r1omni: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        return 2 if isinstance(error, ConfigError) else 1
    if not any("socket" in words for words in service.confinement):
        _log.warning("Decoding workers cannot be kept off the network on this system; see docs/serve.md.")
    line.sendall(READY)
    return 0


def _end_with(line: socket.socket) -> None:
    """End this process in good order when the supervisor has gone."""
    try:
        line.recv(1)
    except OSError:
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run the process: `python -m r1omni.serve.model_process LINE LISTENING RESTARTS`, with open sockets' numbers."""
    line, listening = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    restarts = int(sys.argv[3])
    debug = bool(os.environ.get("R1OMNI_DEBUG"))
    logging.basicConfig(level=logging.INFO if debug else logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if not debug:
        warnings.simplefilter("ignore")
    hide_progress_bars()
    # It warns about what clients send.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    with line.makefile("rb") as reader:
        settings = json.loads(reader.readline())
    config = ServeConfig.model_validate(settings["config"])
    threading.Thread(target=_end_with, args=(line,), name="line", daemon=True).start()
    code = asyncio.run(answer_until_told(config, settings["keys"], restarts, line, listening))
    logging.shutdown()
    # Threads that load a model, or compute, must not hold up the end.
    os._exit(code)


if __name__ == "__main__":
    main()
