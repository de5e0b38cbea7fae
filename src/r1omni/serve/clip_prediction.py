"""`/v1/predictions`: a clip's answer, its reasons, and how likely each label of a set was after them."""

import time
from dataclasses import replace

from r1omni.config.serving import ServeConfig
from r1omni.core.labels import MAFW_LABELS
from r1omni.infer.features import ClipText
from r1omni.infer.prompt import Prompt, Sampling
from r1omni.scoring.coherence import reasons_fit
from r1omni.serve.api_schema import ClipRead, PredictionBody, PredictionRequest, Usage
from r1omni.serve.conversation import SUBTITLE, token_limit
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
    labels = read_labels(request.labels, service.config.max_labels)
    instruction = read_instruction(request, model.instruction, service.config)
    sampling = Sampling(max_tokens=token_limit(request.max_tokens, service.config))
    files = await service.parts.open(request.input, owner)
    features = await model.features(files, request.modality)
    if request.subtitle is not None:
        features = replace(features, text=ClipText(SUBTITLE, request.subtitle))
    prompt = Prompt.ask(instruction, features)
    (completion,) = await model.answers(prompt, sampling, max(0.0, deadline_s - time.monotonic()))
    probabilities = await model.label_probabilities(prompt, completion.text, labels)
    parsed = model.engine.answer_format.parse(completion.text)
    fit = reasons_fit(parsed.reasoning, parsed.answer)
    num_read, num_written = model.prompt_tokens(prompt), len(completion.token_ids)
    return PredictionBody(
        model=model.name,
        answer=parsed.answer,
        reasoning=parsed.reasoning,
        implied=fit.implied.label,
        reasons_agree=fit.agrees,
        probabilities=probabilities,
        text=completion.text,
        clip=ClipRead.of(prompt.features.read),
        usage=Usage(prompt_tokens=num_read, completion_tokens=num_written, total_tokens=num_read + num_written),
    )


def read_instruction(request: PredictionRequest, default: str, config: ServeConfig) -> str:
    """Return what the model is asked, without a subtitle.

    Args:
        request: what came in.
        default: what the model was trained on.
        config: limits its length.

    Raises:
        ApiError: it is too long.
    """
    instruction = request.instruction or default
    if len(instruction) > config.max_prompt_characters:
        limit = config.max_prompt_characters
        raise ApiError(400, f"instruction is longer than {limit:,} characters.", "invalid_value", "instruction")
    return instruction


def read_labels(asked: list[str] | None, max_labels: int) -> list[str]:
    """Return the label set.

    Args:
        asked: of the request; None takes the eleven labels of MAFW.
        max_labels: how many it may have.

    Raises:
        ApiError: labels that are empty, too long, too many, or not different.
    """
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
