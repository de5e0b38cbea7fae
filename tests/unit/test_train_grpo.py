"""The RLVR loop on an invented task."""

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from r1omni.config.grpo_run import GrpoSettings
from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, DivergedError, NotReadyError, R1OmniError
from r1omni.core.instruction import parse_answer
from r1omni.infer.generator import Generator
from r1omni.infer.prompt import clip_seed
from r1omni.train import trackers
from r1omni.train.bookkeeping import TrainingRun
from r1omni.train.checkpoints import trained_state
from r1omni.train.grpo import train_grpo
from r1omni.train.rollout import Reward, draw_key, named_rewards
from small_disk import small_files_only
from small_model import MadeUpFeatures, assert_equal_gradients, small_clips, small_model
from small_rlvr import LETTERS, lines, run


def test_reward_rises_and_everything_is_logged(tmp_path):
    _, summary = run(tmp_path, max_steps=15, beta=0.001, num_generations=8, learning_rate=1e-2)
    rows = lines(tmp_path)
    # By 0.64 to 1.09 on four seeds.
    assert sum(row["reward"] for row in rows[-5:]) > sum(row["reward"] for row in rows[:5]) + 0.3
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-5) and rows[-1]["kl"] > 1e-3
    names = (
        "reward_std accuracy format entropy length truncation zero_variance tokens_per_s clip_fraction reward/format"
    )
    assert set(names.split()) <= rows[0].keys()
    # An untrained model is nearly uniform over 400 tokens: ln 400 = 5.99.
    assert 5 < rows[0]["entropy"] < 6
    sample = lines(tmp_path, "samples.jsonl")[0]
    assert sample["rewards"].keys() == {"accuracy", "format"} and "advantage" in sample
    assert (tmp_path / "model" / "config.json").exists() and summary.steps == 15
    assert "KL to the reference" in (tmp_path / "curves.html").read_text()


@pytest.mark.parametrize("loss_type", ["grpo", "bnpo", "dr_grpo", "dapo"])
def test_accumulation_equals_the_larger_batch(tmp_path, loss_type):
    run(tmp_path / "one", max_steps=1, prompts_per_device=6, loss_type=loss_type)
    run(tmp_path / "two", max_steps=1, loss_type=loss_type, prompts_per_device=2, gradient_accumulation_steps=3)
    assert_equal_gradients(tmp_path / "two", tmp_path / "one")


def test_a_start_that_is_not_ready_is_refused(tmp_path):
    with pytest.raises(NotReadyError, match="RLVR was not started: of 48 sampled answers"):
        run(tmp_path, readiness_prompts=64)
    assert not (tmp_path / "model").exists()


def test_beta_without_a_reference_is_refused(tmp_path):
    engine = MadeUpFeatures(*small_model())
    settings = dict(max_steps=1, readiness_prompts=0, max_completion_length=4)
    where = TrainingRun(tmp_path)
    with pytest.raises(ConfigError, match="no reference"):
        train_grpo(engine, None, small_clips(3), [LETTERS], GrpoSettings(**settings), where)
    train_grpo(engine, None, small_clips(3), [LETTERS], GrpoSettings(**settings, beta=0.0), where)
    assert lines(tmp_path)[0]["kl"] == 0


@pytest.mark.parametrize("zero_variance", ["skip", "resample"])
def test_groups_without_variance_are_left_out(tmp_path, zero_variance):
    """Only clips with sound and pictures can earn a reward; all other groups are flat."""
    rare = Reward("rare", lambda answer, clip, lacking: float("e" in answer.text and clip.id[0] not in "av"))
    run(tmp_path, max_steps=2, rewards=[rare], zero_variance=zero_variance)
    rows = lines(tmp_path)
    assert all(row["zero_variance"] >= 0.5 for row in rows)
    assert (rows[-1]["epoch"] > 1) == (zero_variance == "resample")
    if zero_variance == "skip":
        assert all(row["left_out"] in (row["zero_variance"], 0.0) and "resampled" not in row for row in rows)
    else:
        # What is drawn in place comes from the same order: 6 groups a step and those that were drawn again.
        assert rows[-1]["epoch"] * 12 == 2 * 6 + sum(row["resampled"] for row in rows)
        assert all(row["left_out"] <= row["zero_variance"] for row in rows)


def test_answers_from_another_distribution_are_refused(tmp_path):
    class Hot(MadeUpFeatures):
        def __init__(self, model, processor):
            super().__init__(model, processor)
            self.generator = HotGenerator(model, processor)

    class HotGenerator(Generator):
        def run(self, prompts, sampling):
            return super().run(prompts, [replace(entry, temperature=0.3 * entry.temperature) for entry in sampling])

    run(tmp_path / "same", max_steps=1, temperature=0.7)
    assert lines(tmp_path / "same")[0]["sampling_gap"] < 1e-5
    with pytest.raises(DivergedError, match="does not sample from the policy"):
        run(tmp_path / "other", max_steps=1, engine=Hot)


def test_several_iterations_clip_ratios(tmp_path):
    run(tmp_path, max_steps=4, num_iterations=2, learning_rate=2e-2)
    rows = lines(tmp_path)
    assert [row["step"] for row in rows] == [2, 4]
    assert rows[0]["clip_fraction"] > 0


def test_the_last_batch_of_samples_takes_no_step_too_many(tmp_path):
    """4 iterations a batch and 5 steps: 4 and then 1, at rates that fall from the peak by a fifth."""
    rates = []
    _, summary = run(
        tmp_path, max_steps=5, num_iterations=4, lr_scheduler_type="linear", learning_rate=1e-3, save_every_steps=5,
        on_step=lambda row: rates.append(row["learning_rate"]),
    )  # fmt: skip
    assert summary.steps == 5 and [row["step"] for row in lines(tmp_path)] == [4, 5]
    # Steps 3 and 4 of 0 to 4, the last of either batch.
    assert rates == pytest.approx([4e-4, 2e-4])
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000005"]


def test_no_two_rounds_share_their_draws():
    """Seeds, steps and rounds far beyond those of any run; next to each other, where sums of them would meet."""
    steps = [*range(200), *range(2**24 - 50, 2**24 + 50)]
    places = {(step, number) for step in steps for number in range(8)}
    places |= {(step, number) for step in (*range(12), 2**24 - 1, 2**24, 2**24 + 1) for number in range(650)}
    names = {draw_key(seed, *place) for seed in range(2) for place in places}
    assert len(names) == 2 * len(places)
    assert len({clip_seed(name, "clip") for name in names}) == len(names)


def test_an_exploding_kl_stops_the_run(tmp_path):
    with pytest.raises(DivergedError, match="expected at most 1e-09"):
        run(tmp_path, max_kl=1e-9, max_steps=3)


def test_a_reward_that_raises_is_recorded_and_bounded(tmp_path):
    def moody(answer, clip, lacking):
        if clip.id == "0":
            raise ZeroDivisionError("no")
        return float(" " in answer.text)

    _, summary = run(tmp_path / "some", rewards=[Reward("moody", moody)], max_steps=2, max_error_share=0.5)
    assert summary.num_reward_errors == 4
    assert lines(tmp_path / "some", "errors.jsonl")[0]["error"] == "ZeroDivisionError: no"
    with pytest.raises(R1OmniError, match="moody on clip 0"):
        run(tmp_path / "strict", rewards=[Reward("moody", moody)], max_steps=2)


def test_a_reward_that_raises_is_counted_when_the_start_is_asked(tmp_path):
    """48 probed answers with 4 failures, 24 answers a step with 2: each is within a tenth, together 6 of 24 are not."""

    def rare(answer, clip, lacking):
        if clip.id == "0":
            raise ZeroDivisionError("no")
        return 1.0

    reward = Reward("accuracy", rare)
    options = dict(readiness_prompts=12, min_format=0, num_generations=4, max_steps=1, max_error_share=0.17)
    _, summary = run(tmp_path, rewards=[reward], **options)
    steps = [line["step"] for line in lines(tmp_path, "errors.jsonl")]
    assert steps.count(0) == 4 and summary.num_reward_errors == len(steps)


def test_a_full_disk_stops_the_run_with_a_sentence_and_the_run_can_be_resumed(tmp_path):
    options = dict(max_steps=3, save_every_steps=1)
    with small_files_only(1500), pytest.raises(R1OmniError, match="Free some space"):
        run(tmp_path, **options)
    assert not (tmp_path / "model").exists()
    run(tmp_path, **options)
    assert [row["step"] for row in lines(tmp_path)] == [1, 2, 3]


def test_trackers_are_called_with_the_metrics(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="no tensorboard")
    values = iter([0.25, 0.5])
    settings = dict(max_steps=2, validate=lambda model: {"war": next(values)}, validate_every_steps=1)
    run(tmp_path, **settings, trackers=("tensorboard",))
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    told = {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}
    assert told["validation/war"] == [(1, 0.25), (2, 0.5)]
    assert told["reward"] == [(row["step"], pytest.approx(row["reward"])) for row in lines(tmp_path) if "reward" in row]


def test_a_tracker_that_is_not_installed_is_refused_with_its_command(tmp_path, monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install trackio"):
        run(tmp_path, trackers=("trackio",))


def test_best_by_validation_is_returned(tmp_path):
    values, seen = iter([0.2, 0.7, 0.5]), []

    def validate(model):
        seen.append({name: value.clone() for name, value in trained_state(model).items()})
        return {"war": next(values)}

    model, summary = run(tmp_path, max_steps=6, validate=validate, validate_every_steps=2)
    assert (summary.best_step, summary.best_value) == (4, 0.7)
    assert all(torch.equal(value, seen[1][name]) for name, value in trained_state(model).items())


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A run of three steps that is done, and one that was interrupted after its second."""

    def interrupt(row):
        if row["step"] == 2:
            raise KeyboardInterrupt

    folder = tmp_path_factory.mktemp("begun")
    run(folder / "finished", max_steps=3)
    with contextlib.suppress(KeyboardInterrupt):
        run(folder / "half-done", max_steps=3, save_every_steps=1, on_step=interrupt)
    return folder


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (dict(learning_rate=1e-3), r"its learning_rate is 0.003, this one's is 0.001"),
        (dict(max_steps=5), r"its num_steps is 3, this one's is 5"),
        (dict(prompts_per_device=3), r"its prompts_per_step is 6, this one's is 3"),
        (dict(seed=1), r"its seed is 0, this one's is 1"),
        (dict(instruction="Who?"), r'its instruction is .*this one\'s is "Who\?"'),
        (dict(rewards=[LETTERS]), r"its rewards is "),
    ],
    ids=["rate", "steps", "prompts", "seed", "instruction", "rewards"],
)
@pytest.mark.parametrize("name", ["finished", "half-done"])
def test_a_folder_that_holds_another_run_is_refused(begun, name, changed, sentence):
    record = (begun / name / "run.json").read_bytes()
    with pytest.raises(ConfigError, match=sentence + r".*Give another output_dir, or start over with --resume"):
        run(begun / name, **dict(max_steps=3) | changed)
    assert (begun / name / "run.json").read_bytes() == record


def test_what_does_not_change_the_weights_is_no_part_of_what_a_run_is(begun):
    options = dict(prompts_per_device=2, gradient_accumulation_steps=3, max_kl=20.0, keep_checkpoints=1)
    run(begun / "half-done", max_steps=3, **options)
    assert [row["step"] for row in lines(begun / "half-done")] == [1, 2, 3]


def test_another_start_is_another_run_and_starting_over_takes_its_place(tmp_path):
    class Shifted(MadeUpFeatures):
        def __init__(self, model, processor):
            super().__init__(model, processor)
            with torch.no_grad():
                model.lm_head.weight[3, 5] += 1e-6

    run(tmp_path, max_steps=1)
    with pytest.raises(ConfigError, match="its weights is"):
        run(tmp_path, max_steps=1, engine=Shifted)
    run(tmp_path, max_steps=1, engine=Shifted, resume=False)
    assert [row["step"] for row in lines(tmp_path)] == [1]


def test_named_rewards_grade_by_the_label_set_of_the_clip():
    sets = {"a": ("happy", "sad"), "b": ("sad",)}
    accuracy, form = named_rewards({"accuracy": 1.0, "format": 0.5}, lambda clip: sets[clip.corpus or ""])
    answer = parse_answer("<think>x</think><answer>sad</answer>")
    clip = Clip(id="0", path=Path("0.mp4"), label="sad", corpus="a")
    assert (accuracy.function(answer, clip, None), form.function(answer, clip, None), form.weight) == (1.0, 1.0, 0.5)
    assert accuracy.function(parse_answer("happy"), clip, None) == 0.0
    with pytest.raises(
        ConfigError, match=r"rewards.luck: no such reward; choose from accuracy, format, coherence, grounding"
    ):
        named_rewards({"luck": 1.0}, lambda clip: ())
