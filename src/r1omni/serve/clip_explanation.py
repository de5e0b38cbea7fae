"""`/v1/explain`: a clip's answer with its reasons checked against what can be measured, and what it rests on.

The clip is decoded and measured in confined processes. The explanation is worked out in a thread of its own, which
hands each piece of work on the model to the model's owner, so that other requests are answered meanwhile.
"""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

from r1omni.core.clip import Clip
from r1omni.explain.explanation import Question, explain_decoded
from r1omni.infer.features import ClipText
from r1omni.infer.piecewise import Pieces, piecewise_engine
from r1omni.report.explanation_page import explanation_page
from r1omni.serve.api_schema import ExplanationRequest
from r1omni.serve.clip_prediction import read_instruction, read_labels
from r1omni.serve.conversation import SUBTITLE, token_limit
from r1omni.serve.failures import ApiError
from r1omni.serve.service import Service


async def explain(service: Service, request: ExplanationRequest, owner: str) -> dict[str, Any]:
    """Return an explanation as JSON values.

    Args:
        service: the server.
        request: what came in.
        owner: whose it is.

    Raises:
        ApiError: it cannot be honoured.
        MediaError: its clip cannot be read.
        BusyError: the queue is full.
    """
    model, measuring = service.model(request.model), service.measuring
    labels = read_labels(request.labels, service.config.max_labels)
    instruction = read_instruction(request, model.instruction, service.config)
    max_tokens = token_limit(request.max_tokens, service.config)
    files = await service.parts.open(request.input, owner)
    if len(files) != 1:
        raise ApiError(400, "An explanation is of one file with all that the clip has; send one part.", "invalid_value")
    (file,) = files
    modality = file.modality if request.modality == "auto" else request.modality
    loop = asyncio.get_running_loop()
    # What is beyond a limit ends here, before it is measured.
    reading = model.reading(modality)
    media = await loop.run_in_executor(model.pool.threads, model.pool.decode, file.content, reading)
    evidence, tracks = await loop.run_in_executor(measuring.threads, measuring.measure, file.content, reading)
    words = None if request.subtitle is None else ClipText(SUBTITLE, request.subtitle)
    question = Question(instruction, labels, max_tokens)
    clip = Clip(id=file.name, path=Path("clip"))
    pieces = Pieces(model.thread)
    work = partial(
        explain_decoded, piecewise_engine(model.engine, pieces), clip, media, evidence, tracks, words, question
    )
    try:
        explanation = await loop.run_in_executor(service.explaining, work)
    finally:
        pieces.stop()  # where the client left, or the time is over
    record, page = explanation.to_json(), None
    if request.page:
        page = await asyncio.to_thread(explanation_page, record, explanation.pictures, model.note)
    shown = {key: value for key, value in record.items() if key not in ("id", "path", "gold")}
    return {"object": "explanation", "model": model.name, **shown, "page": page}
