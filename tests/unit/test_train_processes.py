"""Two gloo processes against one, and adapters."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from r1omni.train.grpo import Reward, train_grpo
from r1omni.train.optimise import DEFAULT_PARTS
from r1omni.train.sft import Example, train_sft
from small_model import MadeUpFeatures, small_clips, small_model

LETTERS = Reward("accuracy", lambda answer, clip: min(1.0, answer.text.count("e") / 8))


def both_stages(folder: Path, batch_size: int) -> None:
    """One step each: Adam turns rounding errors into steps of the learning rate's size where a gradient is near 0."""
    model, processor = small_model()
    engine = MadeUpFeatures(model, processor)
    examples = [Example(instruction="Which?", answer=clip.label, clip=clip) for clip in small_clips(7)]
    options = dict(learning_rate=1e-2, max_grad_norm=1e9)
    train_sft(
        model, processor, examples, engine.features, output_dir=folder / "sft", batch_size=batch_size, max_steps=1,
        **options,
    )  # fmt: skip
    model, processor = small_model()
    reference, _ = small_model(seed=1)
    engine = MadeUpFeatures(model, processor)
    train_grpo(
        model, reference, processor, engine, small_clips(8), [LETTERS], output_dir=folder / "grpo", max_steps=1,
        num_generations=4, prompts_per_device=batch_size, readiness_prompts=0, max_completion_length=8,
        scale_rewards="batch", loss_type="dapo", **options,
    )  # fmt: skip


def first_moments(folder: Path) -> dict[str, torch.Tensor]:
    """Adam's first moments after one step are a tenth of the gradients."""
    tensors = load_file(folder / "checkpoints" / "step-00000001" / "optimizer.safetensors")
    return {name: value for name, value in tensors.items() if name.endswith("exp_avg")}


def test_two_processes_equal_one(tmp_path):
    both_stages(tmp_path / "one", batch_size=8)
    script = "import sys\nsys.path[:0] = sys.argv[2:]\nfrom pathlib import Path\n"
    script += "from test_train_processes import both_stages\nboth_stages(Path(sys.argv[1]), batch_size=4)\n"
    (tmp_path / "two.py").write_text(script)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    here = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    launch = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--master_addr=127.0.0.1", f"--master_port={port}"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launch, str(tmp_path / "two.py"), str(tmp_path / "two"), *here]
    result = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    for stage in ("sft", "grpo"):
        one, two = first_moments(tmp_path / "one" / stage), first_moments(tmp_path / "two" / stage)
        assert one.keys() == two.keys()
        for name, value in one.items():
            assert (two[name] - value).norm() <= 1e-4 * value.norm() + 1e-8, (stage, name)
        rows = [
            json.loads((tmp_path / n / stage / "metrics.jsonl").read_text().splitlines()[0]) for n in ("one", "two")
        ]
        assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], abs=1e-5)
        assert rows[0].get("reward") == pytest.approx(rows[1].get("reward"))


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_adapters_are_their_own_reference(tmp_path):
    """The KL starts at 0 against the policy with its adapters off, then grows; the base weights stay as they are."""
    peft = pytest.importorskip("peft", reason="adapters need peft")
    base, processor = small_model()
    before = {name: value.clone() for name, value in base.named_parameters()}
    torch.manual_seed(0)
    model = peft.get_peft_model(base, peft.LoraConfig(r=4, target_modules=r"language_model\.layers.*_proj"))
    engine = MadeUpFeatures(model, processor)
    train_grpo(
        model, None, processor, engine, small_clips(6), [LETTERS], output_dir=tmp_path, max_steps=3, num_generations=4,
        prompts_per_device=6, readiness_prompts=0, max_completion_length=8, learning_rate=1e-2,
        lr_scheduler_type="constant", trainable=("language_model",), gradient_checkpointing=True,
    )  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-6) and rows[2]["kl"] > 1e-5
    for name, value in before.items():
        place = name.replace("_proj.", "_proj.base_layer.") if "language_model.layers" in name else name
        assert torch.equal(dict(base.named_parameters())[place], value), name
    assert "language_model" in DEFAULT_PARTS and (tmp_path / "model" / "adapter_model.safetensors").exists()
