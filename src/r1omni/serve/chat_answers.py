"""`/v1/chat/completions`: answers to a conversation about a clip, whole or token by token."""

import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Literal

from r1omni.core.json_text import json_text
from r1omni.infer.completion import Completion, Event
from r1omni.infer.prompt import Prompt, Sampling
from r1omni.serve.answer_channels import AnswerChannels, Piece, split_answer
from r1omni.serve.api_schema import (
    AnswerMessage,
    ChatCompletion,
    ChatRequest,
    Choice,
    ClipRead,
    Logprobs,
    Usage,
)
from r1omni.serve.conversation import read_messages, read_sampling
from r1omni.serve.failures import as_api_error
from r1omni.serve.served_model import ServedModel
from r1omni.serve.service import Service
from r1omni.serve.token_text import token_logprob

FINGERPRINT = f"r1omni-{version('r1omni')}"


@dataclass
class Asked:
    """A request that was read: what is asked of which model, and until when."""

    request: ChatRequest
    model: ServedModel
    prompt: Prompt
    sampling: Sampling
    started_s: float
    deadline_s: float
    """Both on the monotonic clock."""
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self.deadline_s - time.monotonic())

    @property
    def clip(self) -> ClipRead:
        """What was read of the clip."""
        return ClipRead.of(self.prompt.features.read)

    def usage(self, num_written: int) -> Usage:
        """Count tokens.

        Args:
            num_written: over all answers.
        """
        num_read = self.model.prompt_tokens(self.prompt)
        return Usage(prompt_tokens=num_read, completion_tokens=num_written, total_tokens=num_read + num_written)


async def read_request(service: Service, request: ChatRequest, owner: str, deadline_s: float) -> Asked:
    """Decode and encode a request's clip.

    Args:
        service: the server.
        request: what came in.
        owner: whose it is.
        deadline_s: until when, on the monotonic clock.

    Raises:
        ApiError: it cannot be honoured.
        MediaError: its clip cannot be read.
    """
    model = service.model(request.model)
    messages, media = read_messages(request, model.instruction, service.config)
    sampling = read_sampling(request, service.config)
    files = await service.parts.open(media, owner)
    features = await model.features(files, request.modality)
    started_s = deadline_s - service.config.request_s
    return Asked(request, model, Prompt(messages, features), sampling, started_s, deadline_s)


async def answer(service: Service, asked: Asked) -> ChatCompletion:
    """Return all answers.

    Args:
        service: counts tokens.
        asked: the request.

    Raises:
        TimeoutError: its time is over.
        BusyError: the queue is full.
        ConfigError: it exceeds what the model may take.
        GenerationError: it could not be answered.
    """
    answers = await asked.model.answers(asked.prompt, asked.sampling, asked.left_s)
    usage = asked.usage(sum(len(completion.token_ids) for completion in answers))
    _count(service, asked, usage)
    return ChatCompletion(
        id=asked.id,
        created=asked.created,
        model=asked.model.name,
        choices=[_choice(asked, index, completion) for index, completion in enumerate(answers)],
        usage=usage,
        clip=asked.clip,
        system_fingerprint=FINGERPRINT,
    )


class StreamedAnswer:
    """The answers to one request, token by token.

    Args:
        service: counts tokens.
        asked: the request.
    """

    def __init__(self, service: Service, asked: Asked) -> None:
        self._service, self._asked = service, asked
        self._stack = AsyncExitStack()
        self._tokens: AsyncIterator[Event] | None = None
        answer_format = asked.model.engine.answer_format
        self._channels = [AnswerChannels(answer_format) for _ in range(asked.sampling.num_samples)]

    async def submit(self) -> None:
        """Hand the request to the model.

        Raises:
            BusyError: the queue is full.
        """
        asked = self._asked
        answering = asked.model.answering(asked.prompt, asked.sampling, asked.left_s)
        self._tokens = await self._stack.enter_async_context(answering)

    async def events(self) -> AsyncGenerator[str]:
        """Yield each chunk as JSON; an error after the first of them is a chunk of its own."""
        async with self._stack:
            try:
                async for chunk in self._chunks():
                    yield json_text(chunk)
            except Exception as error:  # noqa: BLE001 - the boundary of a stream: its status is sent already
                failure = as_api_error(error, self._service.config.retry_after_s)
                yield failure.body.model_dump_json()

    async def _chunks(self) -> AsyncIterator[dict[str, Any]]:
        asked = self._asked
        assert self._tokens is not None
        num_written = 0
        for index in range(asked.sampling.num_samples):
            yield self._chunk(index, {"role": "assistant", "content": ""})
        async for event in self._tokens:
            if num_written == 0:
                first_s = time.monotonic() - asked.started_s
                self._service.metrics.first_token_s.labels(asked.model.name).observe(first_s)
            num_written += 1
            for chunk in self._event_chunks(event):
                yield chunk
        usage = asked.usage(num_written)
        _count(self._service, asked, usage)
        options = asked.request.stream_options
        last = self._chunk(None)
        last["clip"] = asked.clip.model_dump()
        if options is not None and options.include_usage:
            last["usage"] = usage.model_dump()
        yield last

    def _event_chunks(self, event: Event) -> list[dict[str, Any]]:
        """What one token adds."""
        channels = self._channels[event.sample]
        pieces = channels.push(event.text)
        if event.completion is not None:
            pieces += channels.finish()
        logprobs = None
        if self._asked.request.logprobs:
            tokenizer = self._asked.model.engine.processor.tokenizer
            token = token_logprob(tokenizer, event.token_id, event.logprob)
            logprobs = {"content": [token.model_dump()], "refusal": None}
        delta = _delta(pieces)
        chunks = []
        if delta or logprobs is not None:
            chunks.append(self._chunk(event.sample, delta, logprobs=logprobs))
        if event.completion is not None:
            chunks.append(self._chunk(event.sample, {}, finish_reason=_reason(event.completion)))
        return chunks

    def _chunk(
        self,
        index: int | None,
        delta: dict[str, str] | None = None,
        finish_reason: str | None = None,
        logprobs: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "finish_reason": finish_reason, "logprobs": logprobs}
        return {
            "id": self._asked.id,
            "object": "chat.completion.chunk",
            "created": self._asked.created,
            "model": self._asked.model.name,
            "choices": [] if index is None else [choice],
            "usage": None,
            "system_fingerprint": FINGERPRINT,
        }


def _delta(pieces: Sequence[Piece]) -> dict[str, str]:
    delta: dict[str, str] = {}
    for piece in pieces:
        names = ("content",) if piece.channel == "content" else ("reasoning", "reasoning_content")
        for name in names:
            delta[name] = delta.get(name, "") + piece.text
    return delta


def _choice(asked: Asked, index: int, completion: Completion) -> Choice:
    texts = split_answer(completion.text, asked.model.engine.answer_format)
    reasoning = texts["reasoning"] or None
    logprobs = None
    if asked.request.logprobs:
        tokenizer = asked.model.engine.processor.tokenizer
        pairs = zip(completion.token_ids, completion.logprobs, strict=True)
        logprobs = Logprobs(content=[token_logprob(tokenizer, *pair) for pair in pairs])
    return Choice(
        index=index,
        message=AnswerMessage(content=texts["content"], reasoning=reasoning, reasoning_content=reasoning),
        finish_reason=_reason(completion),
        logprobs=logprobs,
    )


def _reason(completion: Completion) -> Literal["stop", "length"]:
    return "stop" if completion.finish_reason == "stop" else "length"


def _count(service: Service, asked: Asked, usage: Usage) -> None:
    service.metrics.prompt_tokens.labels(asked.model.name).inc(usage.prompt_tokens)
    service.metrics.answer_tokens.labels(asked.model.name).inc(usage.completion_tokens)
