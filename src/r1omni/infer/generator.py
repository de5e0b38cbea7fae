"""Answers to prompts, token by token, with requests that come and go at any time.

    admit   queues requests
    step    lets in what fits, reads those prompts, and makes one token for every live row
    cancel  frees the places of a request, waiting or running
    run     all of it, until the given prompts are answered

Rows that end make place for waiting prompts at the next step (continuous batching), in the order in which these came.
What a request gets depends on its prompt and its sampling alone: uniform numbers are made from its own seed, and every
row has its own length, limit, temperature and stop strings. A request's maximum is reserved when it enters, so that
what is live always fits the budget.

One thread at a time; `engine_thread` is the front for many.
"""

import math
from collections import deque
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from r1omni.core.errors import ConfigError, GenerationError
from r1omni.infer.completion import Completion, Event, FinishReason
from r1omni.infer.embedding import embed_prompts, evaluating, prompt_lengths, repetition_penalty, stop_ids
from r1omni.infer.kv_pool import PoolSize
from r1omni.infer.live_rows import Drawn, Ending, LiveRows, kv_shape
from r1omni.infer.places import Group, Row
from r1omni.infer.prompt import Prompt, Sampling
from r1omni.infer.text_stream import TextStream, decode
from r1omni.model.adapters import beneath_adapters
from r1omni.model.processing import HumanOmniProcessor

PREFILL_TOKENS = 2**15
"""Prompt tokens read in one forward pass, padding included; a longer prompt passes alone."""
QUORUM = 4
"""While prompts wait, places are refilled once one in so many is free: reading several prompts together is cheaper."""


@dataclass(eq=False)
class _Request:
    number: int
    prompt: Prompt
    sampling: Sampling
    group: Group
    is_streamed: bool
    texts: list[TextStream | None]
    completions: list[Completion | None]
    rows: list[Row] = field(default_factory=list)
    """The live ones."""

    @property
    def needs_tokens(self) -> bool:
        return self.is_streamed or bool(self.sampling.stop)


class Generator:
    """Writes answers to prompts.

    Args:
        model: HumanOmni, with or without adapters. Its weights may change whenever nothing is running.
        processor: its processor.
        max_prompts: prompts that are live at once.
        kv_bytes: keys and values that may be allocated, padding included; None sets no bound.
    """

    def __init__(
        self,
        model: nn.Module,
        processor: HumanOmniProcessor,
        *,
        max_prompts: int = 32,
        kv_bytes: int | None = None,
    ) -> None:
        if max_prompts < 1:
            raise ConfigError(f"max_prompts is {max_prompts}; expected at least 1.")
        self.model, self.processor = beneath_adapters(model), processor
        self.max_prompts, self.kv_bytes = max_prompts, kv_bytes
        self._waiting: deque[_Request] = deque()
        self._running: dict[int, _Request] = {}
        self._live: LiveRows | None = None
        self._events: list[Event] = []
        """Made, and not yet returned."""
        self._failures: list[GenerationError] = []
        """Found, and not yet raised."""
        self._next_number = 0

    @property
    def num_waiting(self) -> int:
        """Requests that have not entered."""
        return len(self._waiting)

    @property
    def num_running(self) -> int:
        """Requests with a live row."""
        return len(self._running)

    @property
    def num_rows(self) -> int:
        """Answers that are being written."""
        return sum(len(request.rows) for request in self._running.values())

    @property
    def num_wanted(self) -> int:
        """Requests that would keep it busy: for the free places, and a refill in the queue."""
        refill = -(-self.max_prompts // QUORUM)
        return max(0, self.max_prompts + refill - self.num_running - self.num_waiting)

    @property
    def has_work(self) -> bool:
        """Whether `step` has anything to do, or to tell."""
        return bool(self._waiting or self._running or self._events or self._failures)

    @property
    def kv_bytes_allocated(self) -> int:
        """What the keys and values take now."""
        return 0 if self._live is None else self._live.pool.num_bytes

    def admit(
        self, prompts: Sequence[Prompt], sampling: Sampling | Sequence[Sampling], *, stream: bool = True
    ) -> list[int]:
        """Queue requests, at any time.

        Args:
            prompts: what is to be continued.
            sampling: one for all, or one per prompt.
            stream: an event for every token; without it, one event for every answer, which costs less.

        Returns:
            A number for each, by which events and `cancel` name it.

        Raises:
            ConfigError: a sampling that cannot be used, or a request that alone exceeds the budget; nothing is queued.
        """
        samplings = [sampling] * len(prompts) if isinstance(sampling, Sampling) else list(sampling)
        if len(samplings) != len(prompts):
            raise ConfigError(
                f"{len(prompts)} prompts came with {len(samplings)} samplings; pass one for all, or each."
            )
        for entry in samplings:
            _check(entry)
        lengths = prompt_lengths(self.processor, prompts)
        requests = []
        for prompt, entry, length in zip(prompts, samplings, lengths, strict=True):
            self._check_budget(entry, length)
            number = self._next_number + len(requests)
            group = Group(number, entry.num_samples, entry.max_tokens, entry.temperature, _uniforms(entry), length)
            texts = [
                TextStream(self.processor.tokenizer, entry.stop) if stream or entry.stop else None
                for _ in range(entry.num_samples)
            ]
            requests.append(_Request(number, prompt, entry, group, stream, texts, [None] * entry.num_samples))
        self._next_number += len(requests)
        self._waiting += requests
        return [request.number for request in requests]

    def step(self) -> list[Event]:
        """Let in what fits and make one token for every live row; a row's first step makes two.

        Returns:
            One event for every token, an answer's last one with its completion; for a request without streaming, that
            one alone.

        Raises:
            GenerationError: a request could not be answered and is gone. The others go on: call again.
        """
        return self._step(None)

    def step_for(self, requests: Collection[int]) -> list[Event]:
        """Return the events of some requests, after a step unless there are any; those of others are kept for them.

        Args:
            requests: their numbers.

        Raises:
            GenerationError: one of these requests could not be answered and is gone.
        """
        return self._take(requests) or self._step(requests)

    @torch.no_grad()
    def _step(self, requests: Collection[int] | None) -> list[Event]:
        self._raise_failure(requests)
        with evaluating(self.model) if self.model.training else nullcontext():
            self._enter_waiting()
            self._advance()
        self._release_if_idle()
        self._raise_failure(requests)
        return self._take(requests)

    def _take(self, requests: Collection[int] | None) -> list[Event]:
        """Events that were made and not returned; None takes those of all requests."""
        taken = [event for event in self._events if requests is None or event.request in requests]
        self._events = [] if requests is None else [event for event in self._events if event.request not in requests]
        return taken

    def _raise_failure(self, requests: Collection[int] | None) -> None:
        for failure in self._failures:
            if requests is None or failure.request in requests:
                self._failures.remove(failure)
                raise failure

    def cancel(self, request: int) -> list[Completion]:
        """Free a request's places at once.

        Args:
            request: its number; one that has ended, or never was, changes nothing.

        Returns:
            Its answers as far as they were written; empty for a request that had ended.
        """
        waiting = next((entry for entry in self._waiting if entry.number == request), None)
        running = self._running.pop(request, None)
        cancelled: list[Completion] = []
        if waiting is not None:
            self._waiting.remove(waiting)
            read = waiting.prompt.features.read
            cancelled = [Completion.unwritten(read) for _ in range(waiting.sampling.num_samples)]
        if running is not None and self._live is not None:
            for row, (ids, logprobs) in zip(running.rows, self._live.read(running.rows), strict=True):
                running.completions[row.sample], _ = self._completion(running, row, ids, logprobs, "cancelled")
            self._live.leave(running.rows)
            cancelled = [completion for completion in running.completions if completion is not None]
        if cancelled:
            self._events = [event for event in self._events if event.request != request]
        self._release_if_idle()
        return cancelled

    def drop(self, requests: Collection[int]) -> None:
        """Cancel requests that nobody asks about any more, with what was to be told about them.

        Args:
            requests: their numbers.
        """
        for request in requests:
            self.cancel(request)
        self._events = [event for event in self._events if event.request not in requests]
        self._failures = [failure for failure in self._failures if failure.request not in requests]

    def _release_if_idle(self) -> None:
        """Give the memory back when nothing is left to write, with the weights that were laid out."""
        if not self._waiting and not self._running:
            self._live = None

    def run(self, prompts: Sequence[Prompt], sampling: Sampling | Sequence[Sampling]) -> list[list[Completion]]:
        """Answer prompts, and return when all are answered; other requests go on beside them.

        Args:
            prompts: what is to be continued.
            sampling: one for all, or one per prompt.

        Returns:
            Each prompt's answers.

        Raises:
            ConfigError: see `admit`.
            GenerationError: one of these prompts could not be answered; all of them are cancelled.
        """
        numbers = self.admit(prompts, sampling, stream=False)
        answers: dict[int, dict[int, Completion]] = {number: {} for number in numbers}
        num_left = sum(request.sampling.num_samples for request in self._waiting if request.number in answers)
        try:
            with evaluating(self.model):
                while num_left:
                    for event in self.step_for(answers):
                        if event.completion is not None:
                            answers[event.request][event.sample] = event.completion
                            num_left -= 1
        except BaseException:
            self.drop(numbers)
            raise
        return [[answers[number][sample] for sample in range(len(answers[number]))] for number in numbers]

    def _check_budget(self, sampling: Sampling, prompt_tokens: int) -> None:
        if self.kv_bytes is None:
            return
        size = PoolSize(1, prompt_tokens, sampling.num_samples, sampling.max_tokens)
        needed = kv_shape(self.model.language_model).num_bytes(size)
        if needed > self.kv_bytes:
            raise ConfigError(
                f"A request of {prompt_tokens} prompt tokens and {sampling.num_samples} answers of up to "
                f"{sampling.max_tokens} tokens needs {needed:,} bytes of keys and values; kv_bytes allows "
                f"{self.kv_bytes:,}. Lower max_tokens or num_samples, or raise kv_bytes."
            )

    def _enter_waiting(self) -> None:
        """Let requests in, in their order, as long as they fit."""
        for batch in self._next_batches():
            if self._enter(batch) or len(batch) == 1:
                continue
            for request in batch:
                self._enter([request])

    def _next_batches(self) -> list[list[_Request]]:
        """The requests that enter now, in parts that are read together."""
        if not self._waiting:
            return []
        if self._live is None:
            self._live = LiveRows(
                self.model.language_model,
                self.model.lm_head,
                stop_ids=stop_ids(self.model, self.processor),
                repetition_penalty=repetition_penalty(self.model),
                max_prompts=self.max_prompts,
                num_bytes=self.kv_bytes,
            )
        entering: list[_Request] = []
        for request in self._waiting:
            if len(self._running) + len(entering) == self.max_prompts:
                break
            if not self._live.fits([*(entry.group for entry in entering), request.group]):
                break
            entering.append(request)
        quorum = -(-(len(self._running) + len(entering)) // QUORUM)
        if len(entering) < min(quorum, len(self._waiting)):
            return []
        batches: list[list[_Request]] = []
        longest = 0
        for request in entering:
            longest = max(longest, request.group.prompt_tokens)
            if not batches or longest * (len(batches[-1]) + 1) > PREFILL_TOKENS:
                batches.append([])
                longest = request.group.prompt_tokens
            batches[-1].append(request)
        return batches

    def _enter(self, batch: Sequence[_Request]) -> bool:
        """Read prompts together; false where that failed and they are still waiting: a single one is given up."""
        assert self._live is not None
        try:
            embeds, mask = embed_prompts(self.model, self.processor, [request.prompt for request in batch])
            drawn = self._live.enter(embeds, mask, [request.group for request in batch])
        except Exception as error:  # noqa: BLE001 - the boundary of a request: its error must not end the others
            if self._running and not self._live.groups:
                self._give_up(list(self._running.values()), error)
            if len(batch) == 1:
                self._waiting.remove(batch[0])
                self._give_up(batch, error)
            return False
        for request in batch:
            self._waiting.remove(request)
            self._running[request.number] = request
        for row in drawn.rows:
            self._running[row.group.request].rows.append(row)
        self._tell(drawn)
        return True

    def _advance(self) -> None:
        if self._live is None:
            return
        try:
            drawn = self._live.step()
        except Exception as error:  # noqa: BLE001 - the boundary of the running requests: those that wait go on
            lost = list(self._running.values())
            self._live.clear()
            self._give_up(lost, error)
            return
        if drawn is not None:
            self._tell(drawn)

    def _give_up(self, requests: Sequence[_Request], error: Exception) -> None:
        """Forget requests, whose places are free already, and keep an error for each to be raised."""
        for request in requests:
            self._running.pop(request.number, None)
            message = f"Request {request.number} could not be answered: {type(error).__name__}: {error}"
            failure = GenerationError(request.number, message)
            failure.__cause__ = error
            self._failures.append(failure)

    def _tell(self, drawn: Drawn) -> None:
        """Make events of what was drawn, and free the rows that ended."""
        self._drop_failed(drawn)
        endings: dict[Row, Ending] = {
            row: ending for row, ending in drawn.endings.items() if row.group.request in self._running
        }
        streamed: dict[Row, tuple[int, float, str]] = {}
        if any(request.needs_tokens for request in self._running.values()):
            streamed = self._push_tokens(drawn, endings)
        completions = self._end(endings)
        for row, (token_id, logprob, text) in streamed.items():
            if row not in completions:
                self._events.append(Event(row.group.request, row.sample, token_id, logprob, text))
        for row, (request, completion, rest) in completions.items():
            text = streamed[row][2] + rest if row in streamed else completion.text
            last = completion.token_ids[-1], completion.logprobs[-1]
            self._events.append(Event(request.number, row.sample, *last, text, completion))

    def _drop_failed(self, drawn: Drawn) -> None:
        assert self._live is not None
        for number in {row.group.request for row, ending in drawn.endings.items() if ending == "failed"}:
            self._live.leave(self._running[number].rows, wipe=True)
            error = ValueError("the logits hold NaN or infinity; check the model's weights and the clip's features")
            self._give_up([self._running[number]], error)

    def _push_tokens(self, drawn: Drawn, endings: dict[Row, Ending]) -> dict[Row, tuple[int, float, str]]:
        """Turn tokens into text where it is read; a row that wrote a stop string joins the endings.

        Returns:
            Token, log-probability and new text of each row that is streamed.
        """
        streamed: dict[Row, tuple[int, float, str]] = {}
        for row, token_id, logprob in zip(drawn.rows, drawn.token_ids, drawn.logprobs, strict=True):
            request = self._running.get(row.group.request)
            stream = None if request is None else request.texts[row.sample]
            if request is None or stream is None:
                continue
            text = stream.push(token_id)
            if stream.stopped:
                endings[row] = "stop"
            if request.is_streamed:
                streamed[row] = token_id, logprob, text
        return streamed

    def _end(self, endings: dict[Row, Ending]) -> dict[Row, tuple[_Request, Completion, str]]:
        """Free the rows that ended.

        Returns:
            The request of each, its completion, and the text that was held back until now.
        """
        assert self._live is not None
        rows = list(endings)
        ended: dict[Row, tuple[_Request, Completion, str]] = {}
        for row, (ids, logprobs) in zip(rows, self._live.read(rows), strict=True):
            request = self._running[row.group.request]
            reason: FinishReason = "stop" if endings[row] == "stop" else "length"
            completion, rest = self._completion(request, row, ids, logprobs, reason)
            ended[row] = request, completion, rest
            request.rows.remove(row)
            request.completions[row.sample] = completion
            if not request.rows:
                del self._running[request.number]
        self._live.leave(rows)
        return ended

    def _completion(
        self, request: _Request, row: Row, ids: list[int], logprobs: list[float], reason: FinishReason
    ) -> tuple[Completion, str]:
        """An answer that has ended, and the text that was held back until now."""
        stream, read = request.texts[row.sample], request.prompt.features.read
        if stream is None:
            text = decode(self.processor.tokenizer, ids)
            return Completion(ids, text, logprobs, reason, read), text
        rest = stream.finish()
        return Completion(ids, stream.text, logprobs, reason, read), rest


def _check(sampling: Sampling) -> None:
    if sampling.max_tokens < 1 or sampling.num_samples < 1:
        raise ConfigError(
            f"max_tokens is {sampling.max_tokens} and num_samples is {sampling.num_samples}; expected at least 1 each."
        )
    if not (math.isfinite(sampling.temperature) and sampling.temperature >= 0):
        raise ConfigError(
            f"temperature is {sampling.temperature}; expected 0 for greedy answers, or a number above it."
        )


def _uniforms(sampling: Sampling) -> Float[Tensor, "samples tokens"]:
    """The numbers in [0, 1) that a request's tokens are drawn at; greedy requests need none."""
    if sampling.temperature == 0:
        return torch.zeros(1, 1).expand(sampling.num_samples, sampling.max_tokens)
    generator = torch.Generator().manual_seed(sampling.seed)
    return torch.empty(sampling.num_samples, sampling.max_tokens).uniform_(generator=generator)
