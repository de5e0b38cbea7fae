"""A cold start and RLVR in the tagged parts that others train with: taught, sampled, graded."""

import json
from pathlib import Path

import pytest
import torch

from r1omni.config.grpo_run import GrpoSettings
from r1omni.core.answer_format import AnswerFormat
from r1omni.core.instruction import instruction_for
from r1omni.infer.features import Features
from r1omni.infer.greedy_answers import greedy_predictions
from r1omni.infer.prompt import Prompt
from r1omni.train.bookkeeping import TrainingRun
from r1omni.train.grpo import train_grpo
from r1omni.train.rollout import named_rewards
from small_model import LABELS
from tagged_formats import REASONS, SAD, SPELLED, cold_start, engine_for


@pytest.mark.parametrize("spelled", SPELLED)
def test_cold_start_probabilities_and_rlvr_in_another_format(tmp_path: Path, spelled: str) -> None:
    answer_format, engine = AnswerFormat.spelled(spelled), engine_for(spelled)
    cold_start(engine, tmp_path / "sft", spelled, max_steps=60)
    instruction = instruction_for("reasoning", answer_format)
    said = list(greedy_predictions(engine, SAD, instruction, 100))
    assert {(row.answer, row.well_formed) for row in said} == {("sad", True)}
    assert said[0].reasoning == answer_format.parse(answer_format.write(REASONS[spelled], "sad")).reasoning

    # Label probabilities by hand: the text up to the tag that opens the answer, each label, the tag that closes it. The
    # rows share what precedes the label, so that sums over whole rows have the same differences.
    (features,) = engine.encoder.features(SAD[:1])
    assert isinstance(features, Features)
    prompts = [Prompt.ask(instruction, features)]
    text = answer_format.write(REASONS[spelled], "happy")
    head = text[: text.index(answer_format.opening)] + answer_format.opening
    rows = [engine.processor.text_ids(f"{head}{label}{answer_format.closing}") for label in LABELS]
    sums = torch.tensor([sum(row) for row in engine.scorer.score(prompts, [rows])[0]])
    (chances,) = engine.scorer.label_probabilities(prompts, [text], LABELS)
    assert list(chances.values()) == pytest.approx(sums.softmax(-1).tolist(), rel=1e-3) and chances["sad"] > 0.9

    # RLVR refuses a start whose sampled answers are not well formed: it reads them in this format.
    rewards = named_rewards({"accuracy": 1.0, "format": 1.0}, lambda clip: LABELS)
    settings = GrpoSettings(
        max_steps=1, num_generations=2, prompts_per_device=2, max_completion_length=100, beta=0.0, temperature=0.1
    )
    summary = train_grpo(engine, None, SAD, rewards, settings, TrainingRun(tmp_path / "grpo"))
    assert summary.start == {"format": 1.0, "accuracy": 1.0}
    sample = json.loads((tmp_path / "grpo" / "samples.jsonl").read_text().splitlines()[0])
    assert sample["rewards"] == {"accuracy": 1.0, "format": 1.0} and answer_format.opening in sample["text"]
    identity = json.loads((tmp_path / "grpo" / "run.json").read_text())["identity"]
    assert identity["answer_format"] == spelled and identity["instruction"] == instruction
