"""The supervised loop on an invented task."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch

from r1omni.config.sections import LoraSection
from r1omni.config.sft_run import SftSettings
from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, DivergedError, MediaError, StoppedError
from r1omni.infer.prompt import Prompt, Sampling
from r1omni.model.adapters import add_adapters
from r1omni.model.load_model import load_model
from r1omni.model.save_model import save_model
from r1omni.train.bookkeeping import TrainingRun
from r1omni.train.checkpoints import trained_state
from r1omni.train.optimise import set_trainable
from r1omni.train.sft import train_sft
from r1omni.train.training_data import Example
from small_model import LABELS, MadeUpFeatures, assert_equal_gradients, small_clips, small_model


def examples(count=12):
    with_clips = [Example(instruction="Which?", answer=clip.label, clip=clip) for clip in small_clips(count)]
    return [*with_clips, Example(instruction="Say.", answer="so sad", given="the voice is loud, ")]


def run(folder, **options):
    model, processor = small_model()
    engine = MadeUpFeatures(model, processor)
    chosen = options.pop("examples", None) or examples()
    around = {name: options.pop(name) for name in ("validate", "on_step") if name in options}
    settings = SftSettings(**dict(num_epochs=3, batch_size=4, learning_rate=3e-3, log_every_steps=1) | options)
    return model, train_sft(engine, chosen, settings, TrainingRun(folder), **around)


def equal_states(first, second):
    one, two = trained_state(first), trained_state(second)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_loss_falls_and_the_label_is_learnt(tmp_path):
    model, summary = run(tmp_path, num_epochs=20, lr_scheduler_type="constant")
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines[0]["loss"] > 3 and summary.final_loss < 0.3
    assert (tmp_path / "model" / "config.json").exists()
    _, processor = small_model()
    engine = MadeUpFeatures(model, processor)
    answers = engine.answer(small_clips(9), "Which?", Sampling(max_tokens=8))
    right = [row[0].text == clip.label for row, clip in zip(answers, small_clips(9), strict=True)]
    assert sum(right) >= 6  # three of nine by chance
    prompts = [Prompt.ask("Which?", features) for features in engine.encoder.features(small_clips(9))]
    chances = engine.scorer.label_probabilities(prompts, [""] * 9, LABELS)
    assert sum(max(row, key=row.get) == clip.label for row, clip in zip(chances, small_clips(9), strict=True)) >= 6
    assert sum(chances[0].values()) == pytest.approx(1)


def test_accumulation_equals_the_larger_batch(tmp_path):
    run(tmp_path / "one", batch_size=6, max_steps=1)
    run(tmp_path / "two", batch_size=3, gradient_accumulation_steps=2, max_steps=1)
    assert_equal_gradients(tmp_path / "two", tmp_path / "one")


def test_only_named_parts_change(tmp_path):
    before, _ = small_model()
    model, _ = run(tmp_path, trainable=("projector",), num_epochs=1)
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before.get_parameter(n))}
    assert changed and all(name.startswith("projector.") for name in changed)


def test_towers_cannot_be_named():
    with pytest.raises(ConfigError, match=r"'vision_tower'; expected names out of .*The towers stay frozen"):
        set_trainable(small_model()[0], ("projector", "vision_tower"))


def test_best_epoch_is_kept_and_patience_stops(tmp_path):
    values = iter([0.2, 0.6, 0.5, 0.4, 0.3])
    seen = []

    def validate(model):
        seen.append({name: value.clone() for name, value in trained_state(model).items()})
        return {"war": next(values)}

    model, summary = run(tmp_path, num_epochs=9, validate=validate, patience=2)
    assert (summary.best_step, summary.best_value, len(summary.history)) == (8, 0.6, 4)
    assert all(torch.equal(value, seen[1][name]) for name, value in trained_state(model).items())


def test_a_done_run_is_not_repeated(tmp_path):
    first, summary = run(tmp_path)
    again, repeated = run(tmp_path)
    assert equal_states(first, again) and repeated == summary


def test_unreadable_clips_are_recorded_and_bounded(tmp_path):
    bad = Example(instruction="Which?", answer="sad", clip=Clip(id="x-1", path=Path("/made-up/x.mp4")))
    _, summary = run(tmp_path / "some", examples=[*examples(), bad], max_error_share=0.1, num_epochs=1)
    assert summary.num_errors == 1
    assert json.loads((tmp_path / "some" / "errors.jsonl").read_text())["kind"] == "truncated"
    with pytest.raises(MediaError, match="1 of 13 clips"):
        run(tmp_path / "strict", examples=[*examples(), bad], max_error_share=0.05)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (dict(num_epochs=2), "num_epochs"),
        (dict(trainable=("projector",)), "trainable"),
        (dict(examples=examples(11)), "examples"),
        (dict(batch_size=5), "examples_per_step"),
    ],
    ids=["epochs", "parts", "examples", "step-size"],
)
def test_a_folder_that_holds_another_run_is_refused(tmp_path, changed, named):
    run(tmp_path, num_epochs=1)
    with pytest.raises(ConfigError, match=rf"its {named} is .*start over with --resume false"):
        run(tmp_path, **dict(num_epochs=1) | changed)
    # Two examples twice are four examples.
    _, summary = run(tmp_path, num_epochs=1, batch_size=2, gradient_accumulation_steps=2)
    assert summary.steps == 4


def test_unreadable_clips_are_recorded_once_however_often_the_run_starts(tmp_path):
    bad = Example(instruction="Which?", answer="sad", clip=Clip(id="x-1", path=Path("/made-up/x.mp4")))

    def interrupt(row):
        if row["step"] == 3:
            raise KeyboardInterrupt

    options = dict(examples=[*examples(), bad], max_error_share=0.1, save_every_steps=1)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, **options, on_step=interrupt)
    run(tmp_path, **options)
    assert len((tmp_path / "errors.jsonl").read_text().splitlines()) == 1


def test_too_long_an_answer_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="max_length is 2"):
        run(tmp_path, max_length=2)


def test_a_gradient_that_is_not_finite_stops_the_run(tmp_path):
    model, processor = small_model()
    with torch.no_grad():
        model.lm_head.weight[5] = torch.inf
    engine = MadeUpFeatures(model, processor)
    with pytest.raises(DivergedError, match="Lower the learning rate"):
        train_sft(engine, examples(), SftSettings(), TrainingRun(tmp_path))


def test_a_terminated_run_saves_and_resumes_bit_equal(tmp_path):
    """SIGTERM within the seventh step, in the middle of an epoch; SIGKILL is tested with GRPO."""
    options = dict(num_epochs=3, save_every_steps=2, log_every_steps=3)

    def terminate(row):
        if row["step"] == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedError, match="after step 7; the same command goes on"):
        run(tmp_path / "stopped", **options, on_step=terminate)
    steps = sorted(path.name for path in (tmp_path / "stopped" / "checkpoints").iterdir())
    assert steps == ["step-00000006", "step-00000007"]
    torch.manual_seed(99)
    resumed, _ = run(tmp_path / "stopped", **options)
    whole, _ = run(tmp_path / "whole", **options)
    assert equal_states(resumed, whole)
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("stopped", "whole")
    ]
    assert losses[0] == losses[1]


def test_the_adapter_folder_of_a_run_answers_as_its_model_folder(tmp_path):
    """With everything that trained beside the adapters, for this package and for peft."""
    peft = pytest.importorskip("peft", reason="adapters need peft")
    save_model(*small_model(), tmp_path / "base")
    base, processor = load_model(tmp_path / "base", dtype="float32")
    torch.manual_seed(0)
    engine = MadeUpFeatures(add_adapters(base, LoraSection(r=4)), processor)
    trained = ("language_model", "projector", "audio_projector", "router", "router_gate")
    settings = SftSettings(max_steps=2, batch_size=4, learning_rate=1e-2, trainable=trained)
    train_sft(engine, examples(), settings, TrainingRun(tmp_path / "run"))
    start = load_model(tmp_path / "base", dtype="float32")[0].state_dict()
    merged = load_model(tmp_path / "run" / "model", dtype="float32")[0].state_dict()
    folded = load_model(tmp_path / "run" / "adapter", dtype="float32")[0].state_dict()
    plain, _ = load_model(tmp_path / "base", dtype="float32")
    by_peft = peft.PeftModel.from_pretrained(plain, tmp_path / "run" / "adapter").merge_and_unload().state_dict()
    changed = {name.split(".")[0] for name, tensor in merged.items() if not torch.equal(start[name], tensor)}
    assert changed == {"language_model", "projector", "audio_projector", "router", "gate"}
    for state in (folded, by_peft):
        for name, tensor in merged.items():
            torch.testing.assert_close(state[name], tensor, atol=1e-6, rtol=1e-6)
