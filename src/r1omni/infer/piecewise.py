"""The engine for a thread that does not own the model: each piece of its work is done by the owner, between two tokens.

    towers, scores     up to `PIECE` clips or prompts a call, so that rows that are being written wait for no more
    answers            requests of the owner's queue, written beside all others

What a thread computes this way is what it would compute alone, up to the rounding of other batch sizes.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from torch import Tensor

from r1omni.core.errors import StoppedError
from r1omni.infer.completion import Completion
from r1omni.infer.encoder import Encoder
from r1omni.infer.engine import Engine
from r1omni.infer.engine_thread import EngineThread, Ticket
from r1omni.infer.features import Features
from r1omni.infer.generator import Generator
from r1omni.infer.prompt import Prompt, Sampling
from r1omni.infer.scorer import Scorer

Result = TypeVar("Result")
PIECE = 4
"""Clips that pass the towers, or prompts that are scored, between two tokens of others."""


class Pieces:
    """Hands one thread's work to the owner of the model, piece by piece, until it is stopped.

    Args:
        owner: runs the model.
    """

    def __init__(self, owner: EngineThread) -> None:
        self._owner = owner
        self._is_stopped = False
        self._tickets: set[Ticket] = set()
        self._lock = threading.Lock()

    def call(self, function: Callable[[], Result]) -> Result:
        """Let the owner run a function, and wait for it.

        Args:
            function: one piece.

        Raises:
            StoppedError: the work was stopped.
            BusyError: the owner's queue is full, or it has ended.
        """
        self._raise_if_stopped()
        return self._owner.call(function).result()

    def write(self, prompts: Sequence[Prompt], samplings: Sequence[Sampling]) -> list[list[Completion]]:
        """Let the owner answer prompts, and wait for the answers.

        Args:
            prompts: what is to be continued.
            samplings: one per prompt.

        Raises:
            StoppedError: the work was stopped.
            BusyError: the owner's queue is full, or it has ended.
            ConfigError: a request exceeds the generator's budget.
            GenerationError: one of them could not be answered; all are cancelled.
        """
        with self._cancelling() as tickets:
            for prompt, sampling in zip(prompts, samplings, strict=True):
                with self._lock:
                    self._raise_if_stopped()
                    ticket = self._owner.submit(prompt, sampling)
                    self._tickets.add(ticket)
                tickets.append(ticket)
            answers = [ticket.result() for ticket in tickets]
        self._raise_if_stopped()
        return answers

    def stop(self) -> None:
        """End the work at its next piece, and cancel what is being written for it; any thread may ask for this."""
        with self._lock:
            self._is_stopped = True
            tickets = list(self._tickets)
        for ticket in tickets:
            ticket.cancel()

    @contextmanager
    def _cancelling(self) -> Iterator[list[Ticket]]:
        """Hold tickets; what is not answered at the end is cancelled."""
        tickets: list[Ticket] = []
        try:
            yield tickets
        finally:
            with self._lock:
                self._tickets.difference_update(tickets)
            for ticket in tickets:
                if not ticket.is_done:
                    ticket.cancel()

    def _raise_if_stopped(self) -> None:
        if self._is_stopped:
            raise StoppedError("Nobody waits for this work any more.")


def piecewise_engine(engine: Engine, pieces: Pieces) -> Engine:
    """Return an engine over the same model that a thread beside the owner may use.

    Args:
        engine: whose generator the owner steps.
        pieces: hands the work over.
    """
    return Engine(
        engine.model,
        engine.processor,
        _PiecewiseEncoder(engine.encoder, pieces),
        _PiecewiseGenerator(engine.generator, pieces),
        _PiecewiseScorer(engine.scorer, pieces),
    )


class _PiecewiseEncoder(Encoder):
    def __init__(self, encoder: Encoder, pieces: Pieces) -> None:
        super().__init__(
            encoder.model,
            encoder.processor,
            batch_size=encoder.batch_size,
            num_frames=encoder.num_frames,
            modality=encoder.modality,
            dtype=encoder.dtype,
            read_text=encoder.read_text,
        )
        self._owned, self._pieces = encoder, pieces

    def encode(self, inputs: Sequence[Mapping[str, Tensor]]) -> list[Features]:
        found: list[Features] = []
        for start in range(0, len(inputs), PIECE):
            part = inputs[start : start + PIECE]
            found += self._pieces.call(lambda part=part: self._owned.encode(part))
        return found


class _PiecewiseGenerator(Generator):
    def __init__(self, generator: Generator, pieces: Pieces) -> None:
        super().__init__(
            generator.model, generator.processor, max_prompts=generator.max_prompts, kv_bytes=generator.kv_bytes
        )
        self._pieces = pieces

    def run(self, prompts: Sequence[Prompt], sampling: Sampling | Sequence[Sampling]) -> list[list[Completion]]:
        samplings = [sampling] * len(prompts) if isinstance(sampling, Sampling) else sampling
        return self._pieces.write(prompts, samplings)


class _PiecewiseScorer(Scorer):
    def __init__(self, scorer: Scorer, pieces: Pieces) -> None:
        super().__init__(scorer.model, scorer.processor, batch_size=scorer.batch_size)
        self._owned, self._pieces = (scorer,), pieces  # in a tuple: it is no part of this module

    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[Sequence[int]]], temperature: float = 1.0
    ) -> list[list[list[float]]]:
        def work(part: slice) -> list[list[list[float]]]:
            return self._owned[0].score(prompts[part], answers[part], temperature)

        return self._in_pieces(len(prompts), work)

    def label_probabilities(
        self, prompts: Sequence[Prompt], texts: Sequence[str], labels: Sequence[str]
    ) -> list[dict[str, float]]:
        def work(part: slice) -> list[dict[str, float]]:
            return self._owned[0].label_probabilities(prompts[part], texts[part], labels)

        return self._in_pieces(len(prompts), work)

    def _in_pieces(self, count: int, work: Callable[[slice], list[Result]]) -> list[Result]:
        found: list[Result] = []
        for start in range(0, count, PIECE):
            found += self._pieces.call(lambda start=start: work(slice(start, start + PIECE)))
        return found
