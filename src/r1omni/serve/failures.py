"""Errors as OpenAI's clients read them: a status, a sentence, and a code that programs can act on."""

from collections.abc import Mapping

from starlette.responses import JSONResponse

from r1omni.core.errors import BusyError, ConfigError, GenerationError, MediaError
from r1omni.serve.api_schema import ErrorBody, ErrorDetail


class ApiError(Exception):
    """An answer that is an error.

    Args:
        status: HTTP status.
        message: what was found, what was expected, and how to fix it.
        code: one word for programs.
        param: the field of the request that it is about.
        headers: further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param, self.headers = status, code, param, dict(headers or {})

    def __reduce__(self) -> tuple[type["ApiError"], tuple[object, ...]]:
        """Let another process receive it."""
        return type(self), (self.status, str(self), self.code, self.param, self.headers)

    @property
    def body(self) -> ErrorBody:
        """What the client reads."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        if self.status == 401:
            kind = "authentication_error"
        if self.status == 429:
            kind = "rate_limit_error"
        return ErrorBody(error=ErrorDetail(message=str(self), type=kind, param=self.param, code=self.code))

    def response(self) -> JSONResponse:
        """Return the whole answer."""
        return JSONResponse(self.body.model_dump(), self.status, self.headers)


def busy(message: str, retry_after_s: int) -> ApiError:
    """Return the refusal of a full queue.

    Args:
        message: what is full.
        retry_after_s: when to come again.
    """
    return ApiError(429, message, "busy", headers={"Retry-After": str(retry_after_s)})


def draining() -> ApiError:
    """Return the refusal of a server that is ending."""
    return ApiError(
        503,
        "The server is ending and takes no more requests; ask another one.",
        "draining",
        headers={"Connection": "close"},
    )


def as_api_error(error: BaseException, retry_after_s: int) -> ApiError:
    """Translate what the engine raises.

    Args:
        error: any error.
        retry_after_s: when to come again, for a full queue.
    """
    match error:
        case ApiError():
            return error
        case MediaError():
            return ApiError(400, str(error), error.kind, "messages")
        case ConfigError():
            return ApiError(400, str(error), "invalid_value")
        case BusyError():
            return busy(str(error), retry_after_s)
        case TimeoutError():
            return ApiError(
                504,
                "The request was not answered within the server's limit of time; shorten it, or ask again.",
                "deadline",
            )
        case GenerationError():
            return ApiError(500, "The model could not answer this request; its log says why.", "generation_failed")
        case _:
            return ApiError(500, "The server failed; its log says why.", "internal_error")
