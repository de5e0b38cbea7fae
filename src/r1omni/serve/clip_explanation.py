"""`/v1/explain`: a clip's answer with its reasons checked against what can be measured, and what it rests on.

The clip is decoded and measured in confined processes; the model is computed in the owner's thread in one piece, so
tokens of other requests wait for it.
"""

import asyncio
from pathlib import Path
from typing import Any

from r1omni.core.clip import Clip
from r1omni.explain.explanation import Question, explain_decoded
from r1omni.infer.features import ClipText
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
    call = model.thread.call(lambda: explain_decoded(model.engine, clip, media, evidence, tracks, words, question))
    explanation = await asyncio.wrap_future(call)
    record, page = explanation.to_json(), None
    if request.page:
        page = await asyncio.to_thread(explanation_page, record, explanation.pictures, model.note)
    shown = {key: value for key, value in record.items() if key not in ("id", "path", "gold")}
    return {"object": "explanation", "model": model.name, **shown, "page": page}
