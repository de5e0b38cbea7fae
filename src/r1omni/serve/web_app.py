"""The web application: routes, and the one place where errors become answers."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, NamedTuple

from fastapi import FastAPI, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.routing import Match, Route
from starlette.types import Scope

from r1omni.core.errors import R1OmniError
from r1omni.serve import chat_answers, clip_explanation, clip_prediction
from r1omni.serve.api_schema import (
    FILE_ID,
    ChatCompletion,
    ChatRequest,
    ErrorBody,
    ExplanationBody,
    ExplanationRequest,
    FileCard,
    FileDeleted,
    Health,
    ModelCard,
    ModelList,
    PredictionBody,
    PredictionRequest,
)
from r1omni.serve.event_stream import ClientLeftError, EventStream, unless_client_left
from r1omni.serve.failures import ApiError, as_api_error
from r1omni.serve.gate import Gate, known_hosts
from r1omni.serve.page_route import add_page
from r1omni.serve.service import Service

_log = logging.getLogger(__name__)

_FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": words}
    for status, words in {
        400: "The request cannot be honoured; the sentence says why.",
        401: "An API key is needed.",
        403: "Called by a name that the server does not go by, or from a page of another site.",
        404: "No such model or file.",
        408: "The request did not arrive in time.",
        413: "Too large.",
        429: "Too many requests; Retry-After says when to come again.",
        500: "The model failed.",
        503: "Loading, or ending.",
        504: "Not answered in time.",
    }.items()
}
_PURPOSES = ["user_data", "vision", "assistants"]
"""What OpenAI's clients call files that are sent to be read."""
_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "enum": _PURPOSES},
                    },
                }
            }
        },
    }
}
CLIENT_LEFT = 499
"""What the metrics call a request whose client left; nobody receives it."""
BASE64_SLACK = 1.4
"""A clip in base64, and the request around it."""


class Application(NamedTuple):
    """What runs under a server."""

    gate: Gate
    service: Service


def build_application(service: Service, keys: list[str]) -> Application:
    """Build the web application over a service, whose models may be loaded later.

    Args:
        service: the server's parts.
        keys: API keys; empty asks for none.
    """
    config = service.config

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(service.sweep())
        yield
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping

    app = FastAPI(
        title="r1omni",
        summary="Emotion recognition from video and sound that explains itself.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=_FAILURES,
    )
    app.openapi = partial(_schema, app.openapi, service)
    _add_failures(app, service)
    _add_answers(app, service)
    _add_files(app, service)
    _add_state(app, service)
    if config.page:
        add_page(app, service, asks_for_key=bool(keys))
    gate = Gate(
        app,
        service.metrics,
        keys=keys,
        hosts=known_hosts(config.host, config.allowed_hosts),
        max_requests=config.batch_size + config.max_queued,
        max_body_bytes=int(config.clip.max_bytes * BASE64_SLACK) + 2**20,
        max_bodies_bytes=config.bodies_bytes,
        request_s=config.request_s,
        retry_after_s=config.retry_after_s,
    )
    service.metrics.watch("requests_inside", "Requests that are being answered or waiting.", lambda: gate.num_inside)
    return Application(gate, service)


def _schema(whole: Callable[[], dict[str, Any]], service: Service) -> dict[str, Any]:
    """Return the API's schema, with the models that answer here once they are loaded."""
    schema = whole()
    if not service.models:
        return schema
    for name in ("ChatRequest", "ExplanationRequest", "PredictionRequest"):
        model = schema["components"]["schemas"][name]["properties"]["model"]
        model["enum"] = sorted(service.models)
    return schema


def _add_answers(app: FastAPI, service: Service) -> None:
    @app.post(
        "/v1/chat/completions",
        response_model=ChatCompletion,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    async def chat_completions(body: ChatRequest, request: Request) -> Any:
        """Answer a conversation about a clip, whole or as server-sent events."""
        state = request.state
        reading = chat_answers.read_request(service, body, state.owner, state.deadline_s)
        asked = await unless_client_left(request, _in_time(reading, state.deadline_s))
        if not body.stream:
            return await unless_client_left(request, chat_answers.answer(service, asked))
        streamed = chat_answers.StreamedAnswer(service, asked)
        await streamed.submit()
        return EventStream(streamed.events())

    @app.post("/v1/predictions", response_model=PredictionBody)
    async def predictions(body: PredictionRequest, request: Request) -> Any:
        """Name the emotion of a clip, why, and how likely each label is."""
        state = request.state
        work = clip_prediction.predict(service, body, state.owner, state.deadline_s)
        return await unless_client_left(request, _in_time(work, state.deadline_s))

    @app.post("/v1/explain", response_model=ExplanationBody)
    async def explain(body: ExplanationRequest, request: Request) -> Any:
        """Answer a clip, check the reasons against what can be measured, and say what the answer rests on."""
        state = request.state
        work = clip_explanation.explain(service, body, state.owner)
        return await unless_client_left(request, _in_time(work, state.deadline_s))


def _add_files(app: FastAPI, service: Service) -> None:
    @app.post("/v1/files", response_model=FileCard, openapi_extra=_UPLOAD)
    async def upload(request: Request) -> FileCard:
        """Hold a clip in memory for a while, so that several questions can be asked about it."""
        content, filename, purpose = await _read_upload(request, service.config.clip.max_bytes)
        return await service.files.add(content, filename, purpose, request.state.owner)

    @app.get("/v1/files/{file_id}", response_model=FileCard)
    async def file(request: Request, file_id: str = Path(pattern=FILE_ID)) -> FileCard:
        """Say what is known about an uploaded file."""
        return (await service.files.get(file_id, request.state.owner)).card

    @app.delete("/v1/files/{file_id}", response_model=FileDeleted)
    async def delete(request: Request, file_id: str = Path(pattern=FILE_ID)) -> FileDeleted:
        """Drop an uploaded file and its features."""
        await service.files.delete(file_id, request.state.owner)
        return FileDeleted(id=file_id)


def _add_state(app: FastAPI, service: Service) -> None:
    def card(name: str) -> ModelCard:
        model = service.model(name)
        return ModelCard(id=name, created=model.created, note=model.note)

    def health() -> Health:
        status = "draining" if service.is_draining else "ok" if service.models else "loading"
        return Health(status=status, restarts=service.restarts, confinement=service.confinement)

    @app.get("/v1/models", response_model=ModelList)
    async def models() -> ModelList:
        """List the models that answer here."""
        return ModelList(data=[card(name) for name in service.models])

    @app.get("/v1/models/{model}", response_model=ModelCard)
    async def model(model: str) -> ModelCard:
        """Say what is known about a model."""
        return card(model)

    @app.get("/healthz", response_model=Health)
    async def healthz() -> Health:
        """Say that the process lives, and how often the model process was started again."""
        return health()

    @app.get("/readyz", response_model=Health, responses={503: {"model": Health}})
    async def readyz(response: Response) -> Health:
        """Say whether requests are answered now."""
        response.status_code = 200 if service.is_ready else 503
        return health()

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Show counts and times in Prometheus' format."""
        return Response(await service.figures(), media_type="text/plain; version=0.0.4")


def _add_failures(app: FastAPI, service: Service) -> None:
    retry_after_s = service.config.retry_after_s

    def answer(_: Request, error: Exception) -> Response:
        return as_api_error(error, retry_after_s).response()

    def fail(request: Request, error: Exception) -> Response:
        _log.error("A request failed.", exc_info=error)
        return answer(request, error)

    def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        return ApiError(400, f"{place or 'The request'}: {first['msg']}.", "invalid_value", place or None).response()

    def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        words = {404: "There is nothing under this path.", 405: "The path does not take this method."}
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_methods(app, request.scope))
        return ApiError(
            error.status_code,
            words.get(error.status_code, str(error.detail)),
            "invalid_request",
            headers=headers,
        ).response()

    def left(_: Request, __: Exception) -> Response:
        return Response(status_code=CLIENT_LEFT)

    handlers: dict[type[Exception], Callable[[Request, Exception], Response]] = {
        ApiError: answer,
        R1OmniError: answer,
        TimeoutError: answer,
        RequestValidationError: invalid,
        HTTPException: refuse,
        ClientLeftError: left,
        Exception: fail,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _methods(app: FastAPI, scope: Scope) -> list[str]:
    """Return the methods that a path takes, whichever route takes them."""
    found: set[str] = set()
    for route in app.routes:
        if isinstance(route, Route) and route.matches(scope)[0] != Match.NONE:
            found |= route.methods or set()
    return sorted(found)


async def _in_time(work: Awaitable[Any], deadline_s: float) -> Any:
    """Wait until a deadline on the monotonic clock."""
    async with asyncio.timeout(deadline_s - time.monotonic()):
        return await work


async def _read_upload(request: Request, max_bytes: int) -> tuple[bytes, str, str]:
    """Return the content, name and purpose of an upload, which never touches a disk."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise ApiError(400, "An upload is multipart/form-data with the field file.", "invalid_value", "file")
    parser = MultiPartParser(request.headers, request.stream(), max_files=1, max_fields=8, max_part_size=1024)
    parser.spool_max_size = max_bytes + 1
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise ApiError(400, f"The upload cannot be read: {error.message}", "invalid_value", "file") from error
    except (KeyError, ValueError) as error:
        raise ApiError(400, "The upload's content type names no boundary.", "invalid_value", "file") from error
    try:
        file, purpose = form.get("file"), form.get("purpose")
        is_whole = len(form.multi_items()) == 2 and purpose in _PURPOSES
        if not isinstance(file, UploadFile) or not isinstance(purpose, str) or not is_whole:
            raise ApiError(
                400,
                f"An upload has the fields file and purpose ({', '.join(_PURPOSES)}), once, and no other.",
                "invalid_value",
                "file",
            )
        content = await file.read()
    finally:
        await form.close()
    if len(content) > max_bytes:
        raise ApiError(413, f"The file has more than the {max_bytes:,} bytes that are allowed.", "too_large", "file")
    return content, (file.filename or "file")[:255], purpose
