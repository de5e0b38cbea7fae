"""What the API takes and gives, in the words of OpenAI's chat completions, so that their clients understand it.

Requests are checked strictly: an unknown field, or one that this server cannot honour, is refused with a sentence
instead of being dropped.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from r1omni.core.clip import Modality
from r1omni.core.media_read import MediaRead

FILE_ID = r"^file-[0-9a-f]{32}$"


def _as_whole(value: object) -> object:
    """Return 2 for 2.0: JSON knows one kind of number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_as_whole)]


class Request(BaseModel):
    """Base of what comes in."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())


class Url(Request):
    """Where a clip is."""

    url: str = Field(min_length=1)
    """A data URL with base64, or an http(s) URL on one of the hosts that the server fetches from."""
    detail: Literal["auto", "low", "high"] = "auto"
    """Without effect: frames are read as the model needs them."""


class SoundData(Request):
    """Sound inside the request."""

    data: str = Field(min_length=1)
    """base64."""
    format: str = Field(min_length=1, max_length=16)
    """Without effect: the content decides."""


class FileReference(Request):
    """A clip that was uploaded, or that is inside the request."""

    file_id: str | None = Field(default=None, pattern=FILE_ID)
    """What `POST /v1/files` returned."""
    file_data: str | None = Field(default=None, min_length=1)
    """A data URL with base64."""
    filename: str | None = Field(default=None, max_length=255)
    """Without effect."""


class TextPart(Request):
    """Text of a message."""

    type: Literal["text"]
    text: str


class VideoPart(Request):
    """A video, with its sound."""

    type: Literal["video_url"]
    video_url: Url


class ImagePart(Request):
    """A still image."""

    type: Literal["image_url"]
    image_url: Url


class AudioUrlPart(Request):
    """Sound by its URL."""

    type: Literal["audio_url"]
    audio_url: Url


class AudioPart(Request):
    """Sound inside the request."""

    type: Literal["input_audio"]
    input_audio: SoundData


class FilePart(Request):
    """A file of any kind."""

    type: Literal["file"]
    file: FileReference


MediaPart = Annotated[
    VideoPart | ImagePart | AudioUrlPart | AudioPart | FilePart,
    Field(discriminator="type"),
]
ContentPart = Annotated[
    TextPart | VideoPart | ImagePart | AudioUrlPart | AudioPart | FilePart,
    Field(discriminator="type"),
]


class ChatMessage(Request):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant"]
    """`developer` is read as `system`."""
    content: str | list[ContentPart] | None = None
    """Text, or parts; media are read in user messages. None is allowed for the assistant alone."""
    name: str | None = Field(default=None, max_length=64)
    """Without effect."""
    reasoning: str | None = None
    """What an assistant's turn carried beside its content; it is not read again."""
    reasoning_content: str | None = None
    """The older name of `reasoning`."""
    refusal: None = None
    tool_calls: list[Any] | None = Field(default=None, max_length=0)
    annotations: list[Any] | None = None
    """Clients send a message back as they got it; not read."""
    audio: None = None
    function_call: None = None


class StreamOptions(Request):
    """How an answer is streamed."""

    include_usage: bool = False
    """End with a chunk that counts the tokens."""
    include_obfuscation: bool = False
    """Without effect."""


class TextFormat(Request):
    """The one format of answers."""

    type: Literal["text"]


Penalty = Annotated[float, Field(ge=0, le=0)]
"""Answers are drawn without penalties; 0 says so."""


class ChatRequest(Request):
    """A conversation that the model continues."""

    model: str = Field(max_length=256)
    messages: list[ChatMessage] = Field(min_length=1, max_length=256)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Whole | None = Field(default=None, ge=1, le=1024)
    """Answers; None asks for one."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """0, or None, takes the most likely token each time, as `r1omni predict` does."""
    seed: Whole | None = Field(default=None, ge=-(2**63), le=2**63 - 1)
    """Fixes what is drawn; None draws anew each time."""
    max_tokens: Whole | None = Field(default=None, ge=1)
    """Tokens of an answer, reasons included; None takes the server's limit."""
    max_completion_tokens: Whole | None = Field(default=None, ge=1)
    """The newer name of `max_tokens`."""
    stop: str | list[str] | None = None
    """Up to four strings that end an answer."""
    logprobs: bool | None = None
    """Return the log-probability of each token of the whole output, reasons and tags included."""
    top_logprobs: Whole | None = Field(default=None, ge=0, le=0)
    """The tokens that were not drawn are not kept: 0."""
    modality: Modality = "auto"
    """What is read of the clip, an addition to OpenAI's fields: auto reads the sides it has."""
    subtitle: str | None = Field(default=None, min_length=1)
    """The words that are spoken, an addition too: a field of the last question."""
    top_p: float | None = Field(default=None, ge=1, le=1)
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    response_format: TextFormat | None = None
    tools: list[Any] | None = Field(default=None, max_length=0)
    tool_choice: Literal["none", "auto"] | None = None
    logit_bias: dict[str, float] | None = Field(default=None, max_length=0)
    user: str | None = None
    """Without effect, like the fields below."""
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    reasoning_effort: str | None = None
    parallel_tool_calls: bool | None = None
    modalities: list[Literal["text"]] | None = None


class PredictionRequest(Request):
    """A clip, and the labels whose probabilities are wanted."""

    model: str = Field(max_length=256)
    input: list[MediaPart] = Field(min_length=1, max_length=4)
    """The clip: pictures, sound, or one part of each; an explanation takes one part."""
    subtitle: str | None = Field(default=None, min_length=1)
    """The words that are spoken: a field of the prompt of its own."""
    labels: list[str] | None = Field(default=None, min_length=1)
    """The label set; None takes the eleven labels of MAFW."""
    instruction: str | None = Field(default=None, min_length=1)
    """What is asked; None asks for reasons and an answer as in training."""
    modality: Modality = "auto"
    max_tokens: Whole | None = Field(default=None, ge=1)


class ExplanationRequest(PredictionRequest):
    """A clip whose answer is to be explained."""

    page: bool = False
    """Also return the explanation as one HTML document that loads nothing."""


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(BaseModel):
    """An error as OpenAI's clients read it."""

    error: ErrorDetail


class ClipRead(BaseModel):
    """What was read of the clip."""

    modality: Literal["video+audio", "video", "audio"] | None
    """The sides that the model read; None for text alone."""
    pictures: dict[str, Any] | None
    """Frames, seconds and damage of the pictures; None where none were read."""
    sound: dict[str, Any] | None
    """Seconds used and in all, gaps, silence and damage of the sound; None where none was read."""
    remarks: list[str]
    """What a user should know about how the clip was read, a clause each."""

    @classmethod
    def of(cls, read: MediaRead) -> "ClipRead":
        """Return the record as the API shows it.

        Args:
            read: what the engine says.
        """
        return cls(**read.to_json(), remarks=read.remarks())


class Usage(BaseModel):
    """Tokens that were read and written."""

    prompt_tokens: int
    """Those of pictures and sound included."""
    completion_tokens: int
    """Over all answers, reasons included."""
    total_tokens: int


class TokenLogprob(BaseModel):
    """One token of the output."""

    token: str
    logprob: float
    bytes: list[int] | None
    """Its UTF-8; a character may be spread over several tokens."""
    top_logprobs: list[Any] = []


class Logprobs(BaseModel):
    """The tokens of an answer."""

    content: list[TokenLogprob]
    refusal: None = None


class AnswerMessage(BaseModel):
    """The assistant's turn."""

    role: Literal["assistant"] = "assistant"
    content: str
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: None = None


class Choice(BaseModel):
    """One answer."""

    index: int
    message: AnswerMessage
    finish_reason: Literal["stop", "length"]
    logprobs: Logprobs | None = None


class ChatCompletion(BaseModel):
    """The answers to one request."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    clip: ClipRead
    system_fingerprint: str | None = None


class PredictionBody(BaseModel):
    """What the model says about a clip, as `r1omni predict --json` prints it."""

    object: Literal["prediction"] = "prediction"
    model: str
    answer: str | None
    """The emotion in the model's own words, lower-cased; None where its tags are broken."""
    reasoning: str | None
    implied: str | None
    """The emotion that the reasons alone imply; None where there are no reasons or they imply none."""
    reasons_agree: bool | None
    """Whether the reasons imply the answer; None where they imply no emotion."""
    probabilities: dict[str, float]
    """Label -> how likely it was after the reasons; they sum to 1."""
    text: str
    """The whole output."""
    clip: ClipRead
    usage: Usage


class ExplanationBody(BaseModel):
    """An answer with everything that is known about it: see docs/explanations.md for what is inside."""

    model_config = ConfigDict(extra="allow")

    object: Literal["explanation"] = "explanation"
    model: str
    answer: str | None
    reasoning: str | None
    probabilities: dict[str, float]
    evidence: dict[str, Any]
    """What was measured in the clip, and what could not be."""
    claims: list[dict[str, Any]]
    """What the reasons say about the clip, each graded by the evidence."""
    reasons: dict[str, Any]
    """Which emotion the reasons imply, and whether it is the answer's."""
    attribution: dict[str, Any] | None
    """What the answer rests on: pictures, sound, subtitle, reasons; None without an answer."""
    page: str | None
    """One HTML document; None where it was not asked for."""


class ModelCard(BaseModel):
    """A model that answers here."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "r1omni"
    note: str | None = None
    """What the model is and is not for."""


class ModelList(BaseModel):
    """The models that answer here."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class FileCard(BaseModel):
    """An uploaded file."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"


class FileDeleted(BaseModel):
    """A file that is gone."""

    id: str
    object: Literal["file"] = "file"
    deleted: bool = True


class Health(BaseModel):
    """That the server lives."""

    status: Literal["ok", "loading", "draining"]
    restarts: int
    """How often the model process was started again after it had ended unexpectedly."""
    confinement: list[str] = []
    """What keeps a decoding worker in."""
