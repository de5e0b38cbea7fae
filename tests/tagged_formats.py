"""Three ways of tagging an answer, an engine that answers in one of them, and a cold start that teaches it."""

from pathlib import Path

from r1omni.config.sft_run import SftSettings
from r1omni.core.answer_format import AnswerFormat
from r1omni.core.clip import Clip
from r1omni.train.bookkeeping import TrainingRun
from r1omni.train.sft import train_sft
from r1omni.train.training_data import reasoned_examples
from small_model import MadeUpFeatures, small_model

SPELLED = ("vis_desc,aud_desc,think,answer", "context,think,answer", "emotion:answer,why")
REASONS = {
    "vis_desc,aud_desc,think,answer": "<vis_desc>so sad</vis_desc><aud_desc>so loud</aud_desc><think>so</think>",
    "context,think,answer": "<context>the voice</context><think>so sad</think>",
    "emotion:answer,why": "the voice is loud",
}
SAD = [Clip(id=str(number), path=Path(f"/made-up/{number}.mp4"), label="sad") for number in range(3)]


def engine_for(spelled: str, seed: int = 0) -> MadeUpFeatures:
    """An engine over a new small model that answers in a format."""
    model, processor = small_model(seed)
    return MadeUpFeatures(model, processor.with_answer_format(AnswerFormat.spelled(spelled)))


def taught(clips: list[Clip], spelled: str) -> list[Clip]:
    """The clips with the reasons of a format."""
    return [Clip(clip.id, clip.path, label=clip.label, reasoning=REASONS[spelled]) for clip in clips]


def cold_start(engine: MadeUpFeatures, folder: Path, spelled: str, max_steps: int) -> None:
    """Teach an engine's model the reasons of a format, all three clips in every step."""
    examples = reasoned_examples(taught(SAD, spelled), AnswerFormat.spelled(spelled))
    settings = SftSettings(max_steps=max_steps, num_epochs=max_steps, learning_rate=1e-2, lr_scheduler_type="linear")
    train_sft(engine, examples, settings, TrainingRun(folder))
