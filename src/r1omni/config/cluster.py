"""How a job is spread over a Ray cluster: who answers, and what each operator of the pipeline takes of the cluster."""

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from r1omni.config.schema import Schema

Runner = Literal["local", "ray"]


class ClusterSection(Schema):
    """Resources of the three operators: decoding, towers, model."""

    decoders: PositiveInt | None = None
    """Decoding tasks at a time, a CPU each; None takes as many as the cluster has CPUs."""
    tower_actors: PositiveInt | None = None
    """Actors that run the towers; None takes one per GPU of the cluster, or one per node without GPUs."""
    model_actors: PositiveInt | None = None
    """Actors that hold the language model, with the same default."""
    tower_gpus: NonNegativeFloat | None = None
    """GPUs of an actor with the towers; None takes half a GPU where the cluster has any."""
    model_gpus: NonNegativeFloat | None = None
    """GPUs of an actor with the language model, with the same default."""
    actor_cpus: PositiveFloat | None = None
    """CPUs, and so threads, of each actor; None takes one, or a quarter of the smallest node where that is less."""
