"""`/v1/predictions`: a clip's answer, its reasons, and how likely each label of a set was after them."""

import time

from r1omni.core.labels import MAFW_LABELS
from r1omni.infer.prompt import Prompt, Sampling
from r1omni.serve.api_schema import ClipRead, PredictionBody, PredictionRequest, Usage
from r1omni.serve.conversation import token_limit
from r1omni.serve.failures import ApiError
from r1omni.serve.service import Service

MAX_LABEL_CHARACTERS = 64


async def predict(service: Service, request: PredictionRequest, owner: str, deadline_s: float) -> PredictionBody:
    """Answer greedily, and score the labels after the reasons.

    Args:
        service: the server.
        request: what came in.
        owner: whose it is.
        deadline_s: until when, on the monotonic clock.

    Raises:
        ApiError: it cannot be honoured.
        MediaError: its clip cannot be read.
        TimeoutError: its time is over.
        BusyError: the queue is full.
        GenerationError: it could not be answered.
    """
    model = service.model(request.model)
    labels = _labels(request.labels, service.config.max_labels)
    instruction = request.instruction or model.instruction
    if len(instruction) > service.config.max_prompt_characters:
        limit = service.config.max_prompt_characters
        raise ApiError(400, f"instruction is longer than {limit:,} characters.", "invalid_value", "instruction")
    sampling = Sampling(max_tokens=token_limit(request.max_tokens, service.config))
    files = await service.parts.open(request.input, owner)
    prompt = Prompt.ask(instruction, await model.features(files, request.modality))
    (completion,) = await model.answers(prompt, sampling, max(0.0, deadline_s - time.monotonic()))
    probabilities = await model.label_probabilities(prompt, completion.text, labels)
    parsed = model.engine.answer_format.parse(completion.text)
    num_read, num_written = model.prompt_tokens(prompt), len(completion.token_ids)
    return PredictionBody(
        model=model.name,
        answer=parsed.answer,
        reasoning=parsed.reasoning,
        probabilities=probabilities,
        text=completion.text,
        clip=ClipRead.of(prompt.features.read),
        usage=Usage(prompt_tokens=num_read, completion_tokens=num_written, total_tokens=num_read + num_written),
    )


def _labels(asked: list[str] | None, max_labels: int) -> list[str]:
    if asked is None:
        return list(MAFW_LABELS)
    labels = [label.strip() for label in asked]
    is_fair = all(0 < len(label) <= MAX_LABEL_CHARACTERS for label in labels) and len(set(labels)) == len(labels)
    if not is_fair or len(labels) > max_labels:
        raise ApiError(
            400,
            f"labels takes up to {max_labels} different names of 1 to {MAX_LABEL_CHARACTERS} characters.",
            "invalid_value",
            "labels",
        )
    return labels
