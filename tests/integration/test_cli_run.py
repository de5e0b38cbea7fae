"""The verbs on a tiny model and a synthetic corpus: what they print, what they write, how they fail."""

import json
import re
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result

from conftest import Command
from r1omni.cli.app import app
from r1omni.core.errors import ConfigError, NotReadyError
from r1omni.infer.predict_files import ASSETS, BUNDLED_MODEL
from r1omni.synth.corpus import make_corpus
from small_model import small_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with random weights."""
    folder = tmp_path_factory.mktemp("model")
    weights, processor = small_model()
    weights.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips of a synthetic corpus, with reasoning."""
    return make_corpus("emer-like", tmp_path_factory.mktemp("corpus"), 4, seed=3, num_workers=1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("R1OMNI_CACHE", str(tmp_path / "cache"))


def r1omni_here(*arguments: str | Path) -> Result:
    """Run a verb in this process: torch is imported once for all tests of this file."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_predict_answers_what_it_can_and_exits_with_1_for_the_rest(r1omni: Command, model: Path, manifest: Path):
    clip = manifest.parent / "clips" / "00000.mp4"
    run = r1omni("predict", clip, "nowhere.mp4", "--model", model, "--answers", "label", "--json")
    assert run.returncode == 1
    good, bad = json.loads(run.stdout)["clips"]
    assert set(good) == {
        "path",
        "reasoning",
        "answer",
        "implied",
        "reasons_agree",
        "probabilities",
        "text",
        "modality",
        "read",
        "seconds",
    }
    assert good["path"] == str(clip) and good["seconds"] > 0
    assert sum(good["probabilities"].values()) == pytest.approx(1)
    assert good["modality"] == "video+audio" and bad["modality"] is None
    assert (
        good["read"]["pictures"]["num_frames"] == 2 and good["read"]["sound"]["used_s"] == 1.0 and bad["read"] is None
    )
    assert good["read"]["sound"]["total_s"] > 2
    assert bad["error"]["kind"] == "missing" and bad["answer"] is None
    heard, error, hint = run.stderr.splitlines()
    assert "nowhere.mp4" in error and "--windows" in hint
    assert heard.startswith(f"{clip}: the model heard the first 1.0 of 2.") and heard.endswith(" s of sound.")


def test_predict_writes_plain_lines_when_not_on_a_terminal(model: Path, manifest: Path):
    run = r1omni_here("predict", manifest.parent / "clips" / "00001.mp4", "--model", model)
    assert run.exit_code == 0
    first, reasoning, fit, probabilities, read = run.stdout.splitlines()
    assert "00001.mp4: " in first
    assert reasoning.startswith("  reasoning: ") and probabilities.startswith("  probabilities: ")
    assert len(re.findall(r" (?:\d\d?|< 1|> 99) %(?:, |$)", probabilities)) == 5
    assert fit.startswith("  reasons: ")
    assert read.startswith("  read: ") and read.endswith(" s of sound")
    assert "\x1b" not in run.stdout


def test_calibrate_keeps_what_predict_uses(model: Path, manifest: Path, tmp_path: Path):
    own = Path(shutil.copytree(model, tmp_path / "own"))
    weights = (own / "model.safetensors").read_bytes()
    fitted = json.loads(r1omni_here("checkpoint", "calibrate", own, manifest, "--answers", "label", "--json").stdout)
    assert fitted["num_clips"] == 4 and json.loads((own / "calibration.json").read_text()) == fitted
    config = json.loads((own / "config.json").read_text())
    temperature, lapse_rate = config["label_temperature"], config["label_lapse_rate"]
    assert (temperature, lapse_rate) == (fitted["temperature"], fitted["lapse_rate"])
    assert (own / "model.safetensors").read_bytes() == weights
    assert f"temperature {temperature:g}, lapse rate {lapse_rate:g}" in r1omni_here("checkpoint", "inspect", own).stdout
    clip = manifest.parent / "clips" / "00000.mp4"
    before, after = (
        json.loads(r1omni_here("predict", clip, "--model", which, "--answers", "label", "--json").stdout)["clips"][0]
        for which in (model, own)
    )
    assert (before["text"], before["answer"]) == (after["text"], after["answer"])
    heated = {label: chance ** (1 / temperature) for label, chance in before["probabilities"].items()}
    total = sum(heated.values())
    expected = {label: (1 - lapse_rate) * h / total + lapse_rate / len(heated) for label, h in heated.items()}
    assert after["probabilities"] == pytest.approx(expected, rel=1e-3)
    run = r1omni_here("checkpoint", "calibrate", own, manifest, "--split", "nowhere")
    assert run.exit_code == 1 and "holds no clip of split nowhere" in str(run.exception)


def test_evaluate_scores_and_resumes_without_answering_again(model: Path, manifest: Path, tmp_path: Path):
    arguments = ["evaluate", "--model", model, "--data", manifest, "--out", tmp_path / "run", "--max-new-tokens", "4"]
    first = r1omni_here(*arguments, "--json")
    scores = json.loads(first.stdout)[str(manifest)]
    assert scores["num_clips"] == 4 and scores["num_errors"] == 0
    timing = (tmp_path / "run" / "timing.jsonl").read_text()
    assert r1omni_here(*arguments).stdout.startswith(f"{manifest}: war ")
    assert (tmp_path / "run" / "timing.jsonl").read_text() == timing


def test_an_evaluation_records_what_was_read_and_answers_long_clips_in_windows(
    model: Path, manifest: Path, tmp_path: Path
):
    arguments = ["evaluate", "--model", model, "--data", manifest, "--out", tmp_path / "run", "--max-new-tokens", "4"]
    first = r1omni_here(*arguments, "--windows", "--json")  # the model hears one second
    assert first.exit_code == 0, first.output
    for line in (tmp_path / "run" / "predictions.jsonl").read_text().splitlines():
        said = json.loads(line)
        spans = [(window["start_s"], window["stop_s"]) for window in said["windows"]]
        assert spans[:2] == [(0, 1), (1, 2)] and said["read"]["sound"]["used_s"] > 2
        assert said["reasoning"] == said["windows"][said["answer_window"]]["reasoning"]
        assert said["answer"] == said["windows"][said["answer_window"]]["answer"]
        assert said["windows"][0]["probabilities"] is None  # they depend on the batch by rounding
    before = (tmp_path / "run" / "predictions.jsonl").read_bytes()
    again = r1omni_here(*arguments, "--windows", "--json")
    assert again.stdout == first.stdout and (tmp_path / "run" / "predictions.jsonl").read_bytes() == before
    other = r1omni_here(*arguments)
    assert isinstance(other.exception, ConfigError) and "its windows is" in str(other.exception)
    whole = r1omni_here(*arguments, "--no-resume")
    assert whole.exit_code == 0, whole.output
    said = json.loads((tmp_path / "run" / "predictions.jsonl").read_text().splitlines()[0])
    assert said["read"]["sound"]["used_s"] == 1.0 and "windows" not in said


def test_an_evaluation_never_answers_for_another_one(model: Path, manifest: Path, tmp_path: Path):
    own = Path(shutil.copytree(model, tmp_path / "model"))
    arguments = ["evaluate", "--model", own, "--data", manifest, "--out", tmp_path / "run", "--shown", "0"]
    limit = ["--max-new-tokens", "4"]
    assert r1omni_here(*arguments, *limit).exit_code == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}

    others = {
        "max_new_tokens": ["--max-new-tokens", "5"],
        "modality": [*limit, "--modality", "video"],
        "instruction": [*limit, "--answers", "label"],
        "video_pooling": [*limit, "--video-pooling", "slow_fast"],
    }
    for name, flags in others.items():
        refused = r1omni_here(*arguments, *flags)
        assert isinstance(refused.exception, ConfigError) and f"its {name} is" in str(refused.exception)
    tensors = load_file(own / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, own / "model.safetensors", {"format": "pt"})
    refused = r1omni_here(*arguments, *limit)
    assert isinstance(refused.exception, ConfigError) and "its weights is" in str(refused.exception)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before

    # The first model again, from another folder, in other batches: graded anew, and nothing is generated.
    again = r1omni_here(*arguments, "--model", model, *limit, "--normaliser", "synonym", "--batch-size", "1", "--json")
    assert json.loads(again.stdout)[str(manifest)]["normaliser"] == "synonym"
    for name in ("timing.jsonl", "run.json"):
        assert (tmp_path / "run" / name).read_bytes() == before[name]


def test_a_cold_start_leaves_a_model_and_a_run_that_can_be_repeated(model: Path, manifest: Path, tmp_path: Path):
    out = tmp_path / "cold-start"
    config = tmp_path / "run.toml"
    config.write_text(f'model = "{model}"\noutput_dir = "{out}"\n[data]\ntrain = ["{manifest}"]\n')
    flags = ["--training.num_epochs", "1", "--training.batch_size", "2"]
    run = r1omni_here("train", "sft", config, *flags)
    assert run.exit_code == 0, run.output
    assert run.stdout.splitlines()[-1] == str(out / "model")
    assert "The features of 4 clips need" in run.stderr
    facts = json.loads((out / "run.json").read_text())["facts"]
    assert facts["seed"] == 0 and list(facts["manifests"]) == [str(manifest)]
    written = (out / "run.toml").read_text()
    assert r1omni_here("train", "sft", config, *flags, "--dry-run").stdout == written
    other = r1omni_here("train", "sft", config, *flags, "--training.learning_rate", "1e-3")
    assert isinstance(other.exception, ConfigError) and "its learning_rate is 2e-05" in str(other.exception)
    assert r1omni_here("train", "sft", config, *flags, "--training.keep_checkpoints", "5").exit_code == 0
    assert (out / "run.toml").read_text() == written
    inspected = r1omni_here("checkpoint", "inspect", out / "model")
    assert inspected.exit_code == 0
    # A 2x2 patch grid is one token a frame; pooling leaves no mean of it, and frame 1 in full.
    assert "video pooling   none: 2 frames become 2 tokens" in inspected.stdout
    pooled = r1omni_here("checkpoint", "inspect", out / "model", "--video-pooling", "slow_fast")
    assert "video pooling   slow_fast: 2 frames become 1 tokens" in pooled.stdout


def test_rlvr_refuses_a_start_that_is_not_ready(model: Path, manifest: Path, tmp_path: Path):
    flags = ["--model", model, "--output_dir", tmp_path / "rlvr", "--data.train", manifest]
    flags += ["--training.max_steps", "1", "--training.max_completion_length", "4"]
    run = r1omni_here("train", "grpo", *flags)
    assert isinstance(run.exception, NotReadyError)


def test_rlvr_with_adapters_ends_in_one_self_contained_checkpoint(model: Path, manifest: Path, tmp_path: Path):
    out = tmp_path / "rlvr"
    flags = ["--model", model, "--output_dir", out, "--data.train", manifest, "--lora.r", "2"]
    flags += ["--training.max_steps", "1", "--training.max_completion_length", "4", "--training.readiness_prompts", "0"]
    run = r1omni_here("train", "grpo", *flags, "--training.prompts_per_device", "2")
    assert run.exit_code == 0, run.output
    assert run.stdout.splitlines()[-1] == str(out / "model") and (out / "adapter").is_dir()
    answered = r1omni_here("predict", manifest.parent / "clips" / "00001.mp4", "--model", out / "model")
    assert answered.exit_code == 0, answered.output
    assert "Last values" in (out / "curves.html").read_text()


def test_an_unknown_reward_is_named(model: Path, manifest: Path, tmp_path: Path):
    flags = ["--model", model, "--output_dir", tmp_path / "rlvr", "--data.train", manifest, "--rewards.luck", "1"]
    run = r1omni_here("train", "grpo", *flags)
    assert isinstance(run.exception, ConfigError) and "rewards.luck" in str(run.exception)


def test_synth_writes_the_corpus_it_names(tmp_path: Path):
    run = r1omni_here("synth", "ravdess-like", "--out", tmp_path / "corpus", "--clips", "2", "--seed", "1")
    assert run.exit_code == 0
    assert Path(run.stdout.strip()).read_text().count("\n") == 2


def test_data_stats_counts_a_manifest(manifest: Path):
    assert json.loads(r1omni_here("data", "stats", manifest, "--json").stdout)["clips"] == 4


def test_an_adapter_without_its_release_names_what_it_searched_for(tmp_path: Path):
    run = r1omni_here("data", "dfew", "--root", tmp_path, "--out", tmp_path / "manifest.jsonl")
    assert run.exit_code == 1 and "EmoLabel_DataSplit" in str(run.exception)


def test_evaluate_explains_the_bundled_model_s_answers_once(tmp_path: Path):
    arguments = [
        "evaluate",
        "--model",
        BUNDLED_MODEL,
        "--data",
        ASSETS / "clips" / "manifest.jsonl",
        "--labels",
        "mafw",
    ]
    arguments += ["--shown", "0", "--explain", "--relied-on", "2", "--out", tmp_path / "run", "--json"]
    (scores,) = json.loads(r1omni_here(*arguments).stdout).values()
    reasons = scores["explanations"]
    num_clips = len((ASSETS / "clips" / "manifest.jsonl").read_text().splitlines())
    assert reasons["num_explained"] == reasons["num_answers"] == num_clips
    figures = reasons["figures"]
    assert 0 <= figures["hallucination_rate"]["value"] <= 100 and figures["hallucination_rate"]["total"] > 3
    assert figures["reliance_replaced"]["total"] == 2 and figures["epc_by_model"]["total"] == num_clips
    lines = (tmp_path / "run" / "explanations.jsonl").read_text()
    assert len((tmp_path / "run" / "evidence.jsonl").read_text().splitlines()) == num_clips
    (again,) = json.loads(r1omni_here(*arguments).stdout).values()
    assert again == scores and (tmp_path / "run" / "explanations.jsonl").read_text() == lines
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Do the reasons hold?" in page
