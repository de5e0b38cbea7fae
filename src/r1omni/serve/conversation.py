"""From a chat request to what the engine is asked: messages, sampling, and the parts of the clip."""

import secrets

from r1omni.config.serving import ServeConfig
from r1omni.core.instruction import with_text_field
from r1omni.core.message import Message
from r1omni.infer.prompt import Sampling
from r1omni.serve.api_schema import ChatMessage, ChatRequest, MediaPart, TextPart
from r1omni.serve.failures import ApiError

SUBTITLE = "Subtitle"
"""What the field of a prompt with the words of a clip is called."""
MAX_STOPS = 4
"""As in OpenAI's API."""


def read_messages(
    request: ChatRequest, instruction: str, config: ServeConfig
) -> tuple[tuple[Message, ...], list[MediaPart]]:
    """Return a conversation and the parts of its clip.

    A user's turn with a clip and without text asks for reasons and an answer, as in training.

    Args:
        request: what came in.
        instruction: what a clip without a question is asked.
        config: limits its length.

    Raises:
        ApiError: a conversation that has no place for what it holds, or is too long.
    """
    messages: list[Message] = []
    media: list[MediaPart] = []
    for place, message in enumerate(request.messages):
        text, parts = _split(message)
        if parts and message.role != "user":
            raise _wrong(f"messages[{place}] is from the {message.role} and holds a clip; put it in a user message.")
        if not text and message.role == "user":
            if not parts:
                raise _wrong(f"messages[{place}] is empty; write a question, or add a clip.")
            text = instruction
        media += parts
        role = "system" if message.role == "developer" else message.role
        messages.append(Message(role, text))
    if messages[-1].role != "user":
        raise _wrong(f"The last message is from the {request.messages[-1].role}; expected a user's question there.")
    if request.subtitle is not None:
        messages[-1] = Message("user", with_text_field(messages[-1].content, SUBTITLE, request.subtitle))
    length = sum(len(message.content) for message in messages)
    if length > config.max_prompt_characters:
        raise _wrong(f"The conversation has {length:,} characters; {config.max_prompt_characters:,} are allowed.")
    return tuple(messages), media


def read_sampling(request: ChatRequest, config: ServeConfig) -> Sampling:
    """Return how the answers are drawn.

    Args:
        request: what came in.
        config: limits tokens and answers.

    Raises:
        ApiError: a limit that is out of range.
    """
    num_samples = request.n or 1
    if num_samples > config.max_samples:
        raise ApiError(
            400, f"n is {num_samples}; this server gives at most {config.max_samples}.", "invalid_value", "n"
        )
    stop = [request.stop] if isinstance(request.stop, str) else request.stop or []
    if len(stop) > MAX_STOPS or "" in stop:
        raise ApiError(400, f"stop takes up to {MAX_STOPS} strings, none of them empty.", "invalid_value", "stop")
    return Sampling(
        temperature=request.temperature or 0.0,
        max_tokens=token_limit(request.max_completion_tokens or request.max_tokens, config),
        seed=secrets.randbits(56) if request.seed is None else request.seed,
        num_samples=num_samples,
        stop=tuple(stop),
    )


def token_limit(asked: int | None, config: ServeConfig) -> int:
    """Return the tokens an answer may have.

    Args:
        asked: what the request says.
        config: what is allowed.

    Raises:
        ApiError: more than that.
    """
    if asked is not None and asked > config.max_new_tokens:
        raise ApiError(
            400,
            f"max_tokens is {asked}; this server writes at most {config.max_new_tokens}.",
            "invalid_value",
            "max_tokens",
        )
    return asked or config.max_new_tokens


def _split(message: ChatMessage) -> tuple[str, list[MediaPart]]:
    if message.content is None or isinstance(message.content, str):
        return message.content or "", []
    texts = [part.text for part in message.content if isinstance(part, TextPart)]
    return "\n".join(texts), [part for part in message.content if not isinstance(part, TextPart)]


def _wrong(sentence: str) -> ApiError:
    return ApiError(400, sentence, "invalid_value", "messages")
