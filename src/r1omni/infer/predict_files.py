"""Files in, predictions out: reasons, an answer, and how likely each label was. What `r1omni predict` runs.

The bundled model, made by this package's own recipe, knows only drawn people; it is what answers when no other model
is named.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from r1omni.config.sections import EngineSection
from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.core.instruction import LABEL_INSTRUCTION
from r1omni.core.labels import MAFW_LABELS
from r1omni.core.media_read import NOTHING_READ, MediaRead
from r1omni.core.window_answer import WindowAnswer
from r1omni.infer.clip_answers import answer_clips
from r1omni.infer.engine import Engine, build_engine
from r1omni.model.load_model import load_model
from r1omni.model.precision import DtypeName
from r1omni.scoring.coherence import ReasonsFit, reasons_fit

ASSETS = Path(str(files("r1omni"))) / "assets"
BUNDLED_MODEL = ASSETS / "drawn-people"
BUNDLED_NOTE = (
    "The bundled model knows only drawn people: what it says about real ones means nothing. "
    "Name a trained checkpoint with --model."
)
MAX_NEW_TOKENS = 512
"""Tokens an answer may have, as in the paper's training."""
PREDICT_SETTINGS = EngineSection(batch_size=8)
"""Answers come eight at a time: the first one soon."""


@dataclass(frozen=True)
class Prediction:
    """What the model says about one clip."""

    path: Path
    reasoning: str | None = None
    """The think part; None without one. Several parts that hold reasons are paragraphs."""
    answer: str | None = None
    """The emotion it names, in its own words, lower-cased; None where the tags are broken."""
    probabilities: dict[str, float] = field(default_factory=dict)
    """Label -> how likely it was after the reasons; over the label set they sum to 1."""
    text: str | None = None
    """The whole output."""
    seconds: float | None = None
    """This clip's share of the wall time of its batch, decoding included."""
    read: MediaRead = NOTHING_READ
    """What was read of the clip."""
    windows: tuple[WindowAnswer, ...] = ()
    """The answers that were joined; empty where clips are not answered in windows."""
    answer_window: int | None = None
    """Index of the window that text, reasoning and answer are from."""
    error: MediaError | None = None
    """Why there is no answer."""

    @property
    def note(self) -> str | None:
        """What a user should know about how the clip was read, as one sentence; None for a plain clip."""
        remarks = self.read.remarks(in_windows=len(self.windows) > 1)
        num_unread = sum(window.error is not None for window in self.windows)
        if num_unread:
            remarks.append(f"{num_unread} of {len(self.windows)} windows could not be read")
        return f"{self.path}: {'; '.join(remarks)}." if remarks else None

    @property
    def fit(self) -> ReasonsFit:
        """What the reasons imply, and whether that is the answer."""
        return reasons_fit(self.reasoning, self.answer)

    def record(self) -> dict[str, Any]:
        """Return the prediction as `predict --json` prints it: None where a value is missing, `error` if unreadable."""
        record = {
            "path": str(self.path),
            "reasoning": self.reasoning,
            "answer": self.answer,
            "implied": self.fit.implied.label,
            "reasons_agree": self.fit.agrees,
            "probabilities": self.probabilities or None,
            "text": self.text,
            "modality": self.read.modality,
            "read": None if self.error is not None else self.read.to_json(),
            "seconds": self.seconds,
        }
        if self.windows:
            record["windows"] = [window.to_json() for window in self.windows]
            record["answer_window"] = self.answer_window
        if self.error is not None:
            record["error"] = {"kind": self.error.kind, "sentence": str(self.error)}
        return record


def load_engine(
    model: str | Path | None = None,
    settings: EngineSection = PREDICT_SETTINGS,
    *,
    vision: str | None = None,
    audio: str | None = None,
    router: str | None = None,
    base: str | None = None,
    dtype: DtypeName = "auto",
    like_official: bool = False,
) -> Engine:
    """Load a checkpoint, ready to answer.

    Args:
        model: a folder or a hub id; None takes the bundled model.
        settings: what is read of a clip, and how answers are asked for; nothing is cached on disk.
        vision: SigLIP folder or hub id, for a published checkpoint that lacks its vision tower; None takes the default.
        audio: Whisper folder or hub id, likewise.
        router: BERT folder or hub id, likewise; its vocabulary is always needed.
        base: folder or hub id of the model that a LoRA adapter was trained on; None takes the one it names.
        dtype: name of a torch dtype; auto takes what this machine computes best in.
        like_official: prepare media as the official script does, for comparisons.

    Raises:
        CheckpointError: there is no such checkpoint, or it cannot be loaded.
    """
    weights, processor = load_model(
        str(BUNDLED_MODEL if model is None else model),
        vision=vision,
        audio=audio,
        router=router,
        base=base,
        dtype=dtype,
        device="auto",
        video_pooling=settings.video_pooling,
    )
    if like_official:
        processor = processor.like_official()
    return build_engine(weights, processor, settings, keeps=False)


def predict_files(
    engine: Engine,
    paths: Sequence[Path],
    *,
    instruction: str | None = None,
    labels: Sequence[str] = MAFW_LABELS,
    max_new_tokens: int = MAX_NEW_TOKENS,
    in_windows: bool = False,
) -> Iterator[Prediction]:
    """Answer clips one batch after the other, in their order; a clip that cannot be read gives its error.

    Args:
        engine: the loaded model.
        paths: files with pictures, sound or both.
        instruction: what is asked; None asks for reasons and an answer in the model's own answer format.
        labels: the label set of the probabilities.
        max_new_tokens: limit of an answer.
        in_windows: answer what is longer than the model hears in windows, and join their answers; see `clip_windows`.
    """
    asked = engine.answer_format.request(LABEL_INSTRUCTION) if instruction is None else instruction
    clips = [Clip(id=str(path), path=path.absolute()) for path in paths]
    answers = answer_clips(engine, clips, asked, labels=labels, max_tokens=max_new_tokens, in_windows=in_windows)
    for path, said in zip(paths, answers, strict=True):
        if said.error is not None:
            yield Prediction(path, error=said.error)
            continue
        answer = engine.answer_format.parse(said.text)
        yield Prediction(
            path,
            answer.reasoning,
            answer.answer,
            dict(said.probabilities),
            said.text,
            said.seconds,
            said.read,
            said.windows,
            said.answer_window,
        )
