"""What `r1omni serve` can be set to: models, address, limits on what comes in, and on what it may cost."""

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from r1omni.config.schema import Schema
from r1omni.config.sections import VideoPooling


class ClipLimits(Schema):
    """What a clip may be. Checked before it is decoded where its header states it, and while it is decoded."""

    max_bytes: PositiveInt = 32 * 2**20
    """Size of a clip, in bytes."""
    max_duration_s: PositiveFloat = 600.0
    """Length, in seconds."""
    max_pixels: PositiveInt = 3840 * 2160
    """Width times height of its pictures."""
    max_frames: PositiveInt = 36_000
    """Pictures in its picture track."""
    max_streams: PositiveInt = 16
    """Tracks of any kind."""
    decoding_s: PositiveFloat = 20.0
    """Seconds that decoding may take; the worker is killed then, and replaced."""
    decoding_bytes: PositiveInt = 2 * 2**30
    """Address space of a decoding worker, in bytes."""


class RemoteSection(Schema):
    """Clips that a request names by a URL, and that the server fetches."""

    hosts: tuple[str, ...] = ()
    """Names of the hosts that clips are fetched from; empty fetches nothing. An address that is not public is refused,
    also behind one of these names."""
    timeout_s: PositiveFloat = 10.0
    """Seconds a fetch may take."""
    max_redirects: int = Field(default=3, ge=0)
    """Redirects that are followed; each is checked like the URL itself."""


class RaySection(Schema):
    """Replicas on a Ray cluster, with `engine = "ray"`.

    Each has the limits and the room that the other settings give; `files_bytes` is the room of all together.
    """

    replicas: PositiveInt = 1
    """Processes that hold the models and answer; the fewest of them where `max_replicas` is set."""
    max_replicas: PositiveInt | None = None
    """The most: replicas are added while each has more than `target_requests`, and taken away again. None keeps
    `replicas`."""
    target_requests: PositiveInt | None = None
    """Requests per replica that adding and taking away aim at; None takes `batch_size`."""
    num_cpus: PositiveFloat = 1.0
    """Processor cores that a replica takes of the cluster, and threads that it computes with."""
    num_gpus: NonNegativeFloat = 0.0
    """GPUs that a replica takes of the cluster."""

    @model_validator(mode="after")
    def _check(self) -> "RaySection":
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError(f"max_replicas is {self.max_replicas}; expected at least replicas, {self.replicas}")
        return self


class ServeConfig(Schema):
    """A server: one process that answers, and one that watches over it; or replicas on a Ray cluster."""

    engine: Literal["local", "ray"] = "local"
    """Who answers: a process on this machine, or replicas on a Ray cluster (extra `replicas`), the one at RAY_ADDRESS
    or one that is started on this machine."""
    model: str | None = None
    """Checkpoint that answers: a folder or a hub id (owner/name@revision); None takes the bundled model, unless
    `models` names some."""
    models: dict[str, str] = {}
    """Further checkpoints by the name that requests call them."""
    host: str = "127.0.0.1"
    """Address to listen on. Whatever is not a loopback address lets other machines in."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    api_keys_file: Path | None = None
    """File with one API key per line; requests must carry one of them. None asks for none."""
    allowed_hosts: tuple[str, ...] = ()
    """Names by which clients may call the server; empty allows loopback names alone on a loopback address, and any name
    elsewhere."""
    page: bool = True
    """Serve the page at /."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] | None = None
    """Number format; auto takes the one that this machine computes fastest in. None takes float32 on a CPU, where an
    answer then does not depend on the requests beside it, and auto on a GPU."""
    video_pooling: VideoPooling | None = None
    """See `engine.video_pooling` of the training commands; None takes the checkpoint's own."""
    batch_size: PositiveInt = 16
    """Prompts answered at once by each model."""
    kv_bytes: PositiveInt | None = None
    """Bytes that the keys and values of each model may take; None sets no limit."""
    max_queued: PositiveInt = 64
    """Requests that may wait beyond `batch_size`; the next is refused with 429."""
    retry_after_s: PositiveInt = 2
    """Seconds after which a refused client is asked to come again."""
    request_s: PositiveFloat = 120.0
    """Seconds a request may take from its first byte to the last of its answer."""
    shutdown_s: PositiveFloat = 30.0
    """Seconds that requests under way get to finish after SIGTERM."""
    max_new_tokens: PositiveInt = 512
    """Tokens of an answer where a request sets no limit, and the most it may ask for."""
    max_prompt_characters: PositiveInt = 32_768
    """Characters of a conversation."""
    max_samples: PositiveInt = 16
    """Answers that one request may ask for (`n`)."""
    max_labels: PositiveInt = 64
    """Labels that one request may ask the probabilities of."""
    bodies_bytes: PositiveInt = 512 * 2**20
    """Bytes that all requests under way may hold; the next is refused with 429."""
    decoding_workers: PositiveInt = 2
    """Processes that decode clips."""
    measuring_s: PositiveFloat = 60.0
    """Seconds that measuring a clip may take, for `/v1/explain`; the worker is killed then, and replaced."""
    measuring_bytes: PositiveInt = 4 * 2**30
    """Address space of the worker that measures, in bytes; its nets take most of it."""
    files_bytes: PositiveInt = 256 * 2**20
    """Bytes of uploaded files that are held, in memory alone; the oldest go first."""
    files_s: PositiveFloat = 900.0
    """Seconds an uploaded file is held."""
    features_bytes: PositiveInt = 256 * 2**20
    """Bytes that the features of uploaded files may take; see `features_s`."""
    features_s: NonNegativeFloat = 0.0
    """Seconds that the features of a clip sent inside a request are kept for further questions about it. Those of an
    uploaded file are kept as long as the file."""
    clip: ClipLimits = ClipLimits()
    remote: RemoteSection = RemoteSection()
    ray: RaySection = RaySection()
