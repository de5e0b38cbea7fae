"""Answers in the tagged parts that others train with: taught, sampled, graded, and read back from the checkpoint."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from r1omni.cli.app import app
from r1omni.config.grpo_run import GrpoSettings
from r1omni.config.sections import DataSection
from r1omni.config.sft_run import SftSettings
from r1omni.core.answer_format import PAPER_FORMAT, AnswerFormat
from r1omni.core.clip import Clip
from r1omni.core.errors import CheckpointError, ConfigError
from r1omni.core.instruction import LABEL_INSTRUCTION
from r1omni.infer.completion import Completion
from r1omni.infer.features import NO_FEATURES
from r1omni.infer.prompt import Prompt
from r1omni.model.load_model import load_model
from r1omni.model.stored_answer_format import answer_format_of
from r1omni.train.bookkeeping import TrainingRun
from r1omni.train.grpo import train_grpo
from r1omni.train.rollout import Group, check_ready, named_rewards
from r1omni.train.sft import train_sft
from r1omni.train.training_data import label_examples, reasoned_examples, training_clips
from small_model import LABELS, MadeUpFeatures, small_clips, small_model
from tagged_formats import REASONS, SAD, cold_start, engine_for, taught


def test_a_checkpoint_says_in_which_format_it_answers(tmp_path: Path) -> None:
    spelled = "context,think,answer"
    cold_start(engine_for(spelled), tmp_path, spelled, max_steps=1)
    assert answer_format_of(tmp_path / "model") == AnswerFormat.spelled(spelled)
    _, processor = load_model(tmp_path / "model")
    assert processor.answer_format == spelled
    assert answer_format_of(tmp_path / "model", "think,answer") == PAPER_FORMAT  # the option wins
    shown = CliRunner().invoke(app, ["checkpoint", "inspect", str(tmp_path / "model")]).output
    assert f"answer format   {spelled}\n" in shown
    (tmp_path / "model" / "processor_config.json").write_text('{"answer_format": "think"}')
    with pytest.raises(CheckpointError, match="answer_format is 'think'"):
        answer_format_of(tmp_path / "model")


def test_another_format_is_another_run(tmp_path: Path) -> None:
    cold_start(engine_for("context,think,answer"), tmp_path, "context,think,answer", max_steps=1)
    examples = reasoned_examples(taught(SAD, "context,think,answer"), AnswerFormat.spelled("context,think,answer"))
    with pytest.raises(ConfigError, match="its answer_format is"):
        train_sft(
            engine_for("think,context,answer"),
            examples,
            SftSettings(max_steps=1, num_epochs=1, learning_rate=1e-2, lr_scheduler_type="constant"),
            TrainingRun(tmp_path),
        )


def test_a_run_in_the_papers_format_is_identified_as_before(tmp_path: Path) -> None:
    engine = MadeUpFeatures(*small_model())
    rewards = named_rewards({"format": 1.0}, lambda clip: LABELS)
    settings = GrpoSettings(
        max_steps=1, num_generations=2, prompts_per_device=1, max_completion_length=4, beta=0.0, readiness_prompts=0
    )
    train_grpo(engine, None, small_clips(2), rewards, settings, TrainingRun(tmp_path))
    identity = json.loads((tmp_path / "run.json").read_text())["identity"]
    assert "answer_format" not in identity
    assert identity["instruction"] == PAPER_FORMAT.request(LABEL_INSTRUCTION)


@pytest.mark.parametrize(
    ("reasoning", "spelled", "said"),
    [
        (" \n ", "think,answer", "have no reasoning"),
        ("He <think>shouts</think>.", "think,answer", "holds the tag <think>"),
        ("He shouts. </ Answer >", "think,answer", "holds the tag </ Answer >"),
        ("<context>A kitchen.</context> He shouts.", "think,answer", "holds the part <context>"),
        ("He shouts.", "context,think,answer", "has no tagged parts; expected exactly context, think"),
        ("<context>A.</context>and<think>B.</think>", "context,think,answer", "expected exactly context, think"),
        ("<think>B.</think><context>A.</context>", "context,think,answer", "has the parts think, context"),
        ("<context> </context><think>B.</think>", "context,think,answer", "a part of the reasoning is empty"),
    ],
)
def test_reasons_that_cannot_be_taught_are_refused_with_their_ids(
    tmp_path: Path, reasoning: str, spelled: str, said: str
) -> None:
    right = REASONS.get(spelled, "He shouts.")
    rows = [("good", right), ("bad-1", reasoning), ("bad-2", reasoning)]
    lines = [json.dumps({"id": name, "path": "a.mp4", "label": "angry", "reasoning": text}) for name, text in rows]
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    data = DataSection(train=(tmp_path / "m.jsonl",))
    with pytest.raises(ConfigError) as caught:
        training_clips(data, reasoned_in=AnswerFormat.spelled(spelled))
    assert said in str(caught.value) and "2 of 3" in str(caught.value) and "bad-1, bad-2" in str(caught.value)
    assert len(training_clips(data)) == 3  # labels alone are learnt from them


def test_a_label_that_is_read_back_as_another_one_is_refused(tmp_path: Path) -> None:
    row = {"id": "a", "path": "a.mp4", "label": "sad</answer>", "reasoning": "He cries."}
    (tmp_path / "m.jsonl").write_text(json.dumps(row))
    with pytest.raises(ConfigError, match="the parser reads the answer 'sad'; expected 'sad</answer>'"):
        training_clips(DataSection(train=(tmp_path / "m.jsonl",)), reasoned_in=PAPER_FORMAT)


def test_labels_are_taught_and_judged_ready_as_they_are_compared() -> None:
    clip = Clip("a", Path("/a.mp4"), label=" Angry", reasoning="He shouts.")
    assert [example.answer for example in label_examples([clip])] == ["angry"]
    assert reasoned_examples([clip])[0].answer == "<think>He shouts.</think>\n<answer>angry</answer>"
    said = Completion([], "<think>He shouts.</think><answer>angry</answer>", [], "stop")
    group = Group(clip, Prompt.ask("Which?", NO_FEATURES), [said], rewards={"length": [1.0]}, totals=[1.0])
    assert check_ready([group], 1.0, 1.0) == {"format": 1.0, "accuracy": 1.0}
