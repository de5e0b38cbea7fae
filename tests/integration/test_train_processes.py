"""Two gloo processes against one, whole and sharded, and adapters."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import PartialState
from accelerate.utils import patch_environment
from safetensors.torch import load_file
from torch import nn
from torch.distributed.fsdp import FSDPModule

from r1omni.config.grpo_run import GrpoSettings
from r1omni.config.sft_run import SftSettings
from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError
from r1omni.infer.prompt import Sampling
from r1omni.train import zero3
from r1omni.train.bookkeeping import TrainingRun
from r1omni.train.grpo import train_grpo
from r1omni.train.processes import start_processes
from r1omni.train.sft import train_sft
from r1omni.train.training_data import Example
from r1omni.train.validation import validator
from small_model import MadeUpFeatures, assert_equal_gradients, small_clips, small_model
from small_rlvr import LETTERS

DEEPSPEED = Path(sys.prefix) / "zero3"
"""Where `make test` puts it, apart from the rest."""
FSDP2_WORKS = hasattr(FSDPModule, "set_reduce_scatter_unused_params")
FSDP2 = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
ZERO3 = {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3", "DS_ACCELERATOR": "cpu"}


def both_stages(folder: Path, batch_size: int, num_parts: int = 1) -> None:
    """One step each: Adam turns rounding errors into steps of the learning rate's size where a gradient is near 0."""
    supervised(folder / "sft", batch_size=batch_size, gradient_accumulation_steps=num_parts, max_steps=1)
    engine = Counting(*small_model())
    reference, _ = small_model(seed=1)
    settings = GrpoSettings(
        max_steps=1, num_generations=4, prompts_per_device=batch_size, gradient_accumulation_steps=num_parts,
        readiness_prompts=0, max_completion_length=8, scale_rewards="batch", loss_type="dapo", learning_rate=1e-2,
        max_grad_norm=1e9, gradient_checkpointing=True,
    )  # fmt: skip
    held_out = [*small_clips(6), Clip(id="x-1", path=Path("/made-up/x.mp4"), label="sad")]
    validate = validator(engine, held_out, "Which?", 3)

    def shared(model: nn.Module) -> Mapping[str, float]:
        engine.asked = []
        measured = validate(model)
        # In every process: the clips it answered, and the figures of all of them.
        answered = folder / f"validated-{PartialState().process_index}.json"
        answered.write_text(json.dumps([engine.asked, measured]))
        return measured

    train_grpo(
        engine, reference, small_clips(8), [LETTERS], settings, TrainingRun(folder / "grpo"), validate=shared
    )  # fmt: skip


class Counting(MadeUpFeatures):
    """Notes the clips it is asked about."""

    def answer(self, clips: Iterable[Clip], instruction: str, sampling: Sampling) -> Any:
        clips = list(clips)
        self.asked = [*getattr(self, "asked", []), *(clip.id for clip in clips)]
        return super().answer(clips, instruction, sampling)


def supervised(folder: Path, **options) -> None:
    engine = MadeUpFeatures(*small_model())
    examples = [Example(instruction="Which?", answer=clip.label, clip=clip) for clip in small_clips(7)]
    around = {name: options.pop(name) for name in ("validate", "on_step") if name in options}
    settings = SftSettings(**dict(learning_rate=1e-2, max_grad_norm=1e9, lr_scheduler_type="constant") | options)
    train_sft(engine, examples, settings, TrainingRun(folder), **around)


def interrupted(folder: Path) -> None:
    """A whole run, and one that is broken off after its second step and goes on; both validate."""
    values = iter([0.1, 0.5, 0.3, 0.3])

    def stop(row):
        if row["step"] == 2:
            raise KeyboardInterrupt

    options = dict(batch_size=2, max_steps=4, save_every_steps=1, validate=lambda model: {"war": next(values)})
    supervised(folder / "unbroken", **options)
    values = iter([0.1, 0.5, 0.3, 0.3])
    with contextlib.suppress(KeyboardInterrupt):
        supervised(folder / "broken", **options, on_step=stop)
    supervised(folder / "broken", **options)


def every_way(folder: Path) -> None:
    """What each of the two processes runs; alone with a clip that lacks a side, a part of the model has no gradient."""
    both_stages(folder / "ddp", batch_size=4)
    if FSDP2_WORKS:
        with patch_environment(**FSDP2):
            both_stages(folder / "fsdp2", batch_size=1, num_parts=4)
            interrupted(folder / "fsdp2")
    if find_spec("deepspeed") is None:
        return
    with patch_environment(**ZERO3):
        import deepspeed

        # Compiled where it is used, and of no use here.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        both_stages(folder / "zero3", batch_size=1, num_parts=4)
        assert deepspeed.comm.is_initialized()
        interrupted(folder / "zero3")


def folder_of(way: str, runs: Path) -> Path:
    if not (runs / way).exists():
        lacking = {
            "fsdp2": "torch is older than 2.13",
            "zero3": "DeepSpeed is not in .venv/zero3; `make test` puts it there",
        }
        pytest.skip(lacking[way])
    return runs / way


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same steps by one process, by two whole ones, and by two that hold shards."""
    folder = tmp_path_factory.mktemp("runs")
    both_stages(folder / "one", batch_size=8)
    script = "import sys\nsys.path[:0] = sys.argv[2:]\nfrom pathlib import Path\n"
    script += "import test_train_processes as tests\ntests.every_way(Path(sys.argv[1]))\n"
    (folder / "two.py").write_text(script)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    here = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    launch = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--master_addr=127.0.0.1", f"--master_port={port}"]
    environment = os.environ | {
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(DEEPSPEED), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, *launch, str(folder / "two.py"), str(folder), *here]
    result = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    return folder


@pytest.mark.parametrize("stage", ["sft", "grpo"])
@pytest.mark.parametrize("way", ["ddp", "fsdp2", "zero3"])
def test_two_processes_equal_one(runs, way, stage):
    one, two = runs / "one" / stage, folder_of(way, runs) / stage
    assert_equal_gradients(two, one)
    rows = [json.loads((folder / "metrics.jsonl").read_text().splitlines()[0]) for folder in (one, two)]
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], abs=1e-5)
    assert rows[0].get("reward") == pytest.approx(rows[1].get("reward"))
    models = [load_file(folder / "model" / "model.safetensors") for folder in (one, two)]
    assert {n: t.shape for n, t in models[0].items()} == {n: t.shape for n, t in models[1].items()}


@pytest.mark.parametrize("way", ["ddp", "fsdp2", "zero3"])
def test_validation_is_shared_and_every_process_gets_the_same_figures(runs, way):
    alone, measured = json.loads((runs / "one" / "validated-0.json").read_text())
    assert alone == ["0", "a-1", "v-2", "3", "a-4", "v-5", "x-1"] and measured["unreadable"] == pytest.approx(1 / 7)
    shares = [json.loads((folder_of(way, runs) / f"validated-{rank}.json").read_text()) for rank in range(2)]
    assert [asked for asked, _ in shares] == [["0", "v-2", "a-4", "x-1"], ["a-1", "3", "v-5"]]
    # The step before differs by rounding, which three greedy tokens of an untrained model need not survive.
    assert shares[0][1] == shares[1][1]
    assert shares[0][1]["unreadable"] == pytest.approx(1 / 7) and shares[0][1].keys() == measured.keys()


@pytest.mark.parametrize("way", ["fsdp2", "zero3"])
def test_a_sharded_run_resumes_from_its_checkpoint_bit_equal(runs, way):
    runs = folder_of(way, runs)
    unbroken, broken = (load_file(runs / name / "model" / "model.safetensors") for name in ("unbroken", "broken"))
    assert all(torch.equal(value, broken[name]) for name, value in unbroken.items())
    summary = json.loads((runs / "broken" / "summary.json").read_text())
    assert (summary["steps"], summary["best_value"]) == (4, 0.5)
    best = load_file(runs / "broken" / "checkpoints" / f"step-{summary['best_step']:08d}" / "model.safetensors")
    assert all(torch.equal(value, broken[name]) for name, value in best.items())


def test_what_the_loop_cannot_run_under_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ConfigError, match="fsdp_version: 2"):
        supervised(tmp_path)
    for name, value in {**ZERO3, "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"not installed: pip install 'r1omni\[deepspeed\]'\."):
        supervised(tmp_path)
    monkeypatch.setattr(zero3, "is_deepspeed_available", lambda: True)
    with pytest.raises(ConfigError, match=r"stage 2; only stage 3 works, set zero_stage: 3\."):
        supervised(tmp_path)
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"zero_optimization": {"stage": 3}, "bf16": {"enabled": True}}))
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", str(settings))
    with pytest.raises(ConfigError, match=r"setting bf16 does not apply.*take it out\."):
        supervised(tmp_path)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_adapters_are_their_own_reference(tmp_path):
    """The KL starts at 0 against the policy with its adapters off, then grows; the base weights stay as they are."""
    peft = pytest.importorskip("peft", reason="adapters need peft")
    base, processor = small_model()
    before = {name: value.clone() for name, value in base.named_parameters()}
    torch.manual_seed(0)
    model = peft.get_peft_model(base, peft.LoraConfig(r=4, target_modules=r"language_model\.layers.*_proj"))
    engine = MadeUpFeatures(model, processor)
    settings = GrpoSettings(
        max_steps=3, num_generations=4, prompts_per_device=6, readiness_prompts=0, max_completion_length=8,
        learning_rate=1e-2, lr_scheduler_type="constant", trainable=("language_model",), gradient_checkpointing=True,
    )  # fmt: skip
    train_grpo(engine, None, small_clips(6), [LETTERS], settings, TrainingRun(tmp_path))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-6) and rows[2]["kl"] > 1e-5
    for name, value in before.items():
        place = name.replace("_proj.", "_proj.base_layer.") if "language_model.layers" in name else name
        assert torch.equal(dict(base.named_parameters())[place], value), name
    # The model folder holds what the adapted model computes, without peft.
    loaded = type(base).from_pretrained(tmp_path / "model")
    answers = [
        list(MadeUpFeatures(found, processor).answer(small_clips(6), "Which?", Sampling(max_tokens=8)))
        for found in (model, loaded)
    ]
    assert [row[0].token_ids for row in answers[0]] == [row[0].token_ids for row in answers[1]]
    for (row,), (other,) in zip(*answers, strict=True):
        assert row.logprobs == pytest.approx(other.logprobs, abs=1e-4)
    weight = "language_model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(loaded.get_parameter(weight), before[weight])
    small_model()[0].save_pretrained(tmp_path / "base")
    kept = peft.PeftModel.from_pretrained(type(base).from_pretrained(tmp_path / "base"), tmp_path / "adapter")
    assert torch.equal(
        kept.get_parameter("base_model.model.language_model.layers.0.mlp.up_proj.lora_B.default.weight"),
        model.get_parameter("base_model.model.language_model.layers.0.mlp.up_proj.lora_B.default.weight"),
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there it would wait for the second process")
def test_processes_that_would_train_alone_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="2 processes were started"):
        start_processes("no")
