"""The set's checkpoint: its names, its towers, its conversion."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from parity.golden import TOLERANCE_FEATURES, Golden, Subject, assert_close
from r1omni.model.convert_checkpoint import convert_checkpoint
from r1omni.model.inspect_checkpoint import inspect_checkpoint
from r1omni.model.load_model import load_model
from r1omni.model.weights import read_inventory

DTYPES = {"BF16": "bfloat16", "F32": "float32", "F16": "float16"}


def test_every_key_of_the_file_is_read_or_knowingly_left(golden: Golden, checkpoint: Path) -> None:
    listed = golden.json("checkpoint_keys.json")
    listed = listed.get("keys", listed)
    found = read_inventory(checkpoint)
    assert set(found) == set(listed)
    for key, entry in listed.items():
        shape, dtype = (entry["shape"], entry["dtype"]) if isinstance(entry, dict) else (entry[0], entry[1])
        assert list(found[key].shape) == list(shape)
        assert DTYPES[found[key].dtype] in str(dtype) or found[key].dtype in str(dtype)
    report = inspect_checkpoint(checkpoint, router=str(golden.tower("bert")))
    assert report.problems == ()
    read = sum(part.num_parameters for part in report.parts)
    assert read + report.num_unread_parameters == sum(stored.num_parameters for stored in found.values())


def test_towers_come_from_their_own_folders_where_the_checkpoint_lacks_them(
    golden: Golden, subject: Subject, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(golden.path("checkpoint"), bare, copy_function=shutil.copyfile)
    bare.chmod(0o755)
    state = load_file(bare / "model.safetensors")
    towers = ("model.vision_tower.", "model.audio_tower.")
    save_file(
        {k: v for k, v in state.items() if not k.startswith(towers)}, bare / "model.safetensors", {"format": "pt"}
    )
    model, _ = load_model(
        bare,
        vision=str(golden.tower("siglip")),
        audio=str(golden.tower("whisper")),
        router=str(golden.tower("bert")),
        dtype=torch.float32,
    )
    ours, theirs = model.state_dict(), subject.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_checkpoints_router_wins_over_the_folders(golden: Golden, subject: Subject) -> None:
    folder = load_file(golden.tower("bert") / "model.safetensors")
    table = next(v for k, v in folder.items() if k.endswith("word_embeddings.weight")).float()
    ours = subject.model.router.embeddings.word_embeddings.weight
    held = load_file(golden.path("checkpoint") / "model.safetensors")[
        "model.bert_model.embeddings.word_embeddings.weight"
    ]
    assert torch.equal(ours, held.float())
    assert not torch.equal(ours, table)


@torch.no_grad()
def test_converting_and_loading_again_gives_identical_weights(golden: Golden, subject: Subject, tmp_path: Path) -> None:
    out = convert_checkpoint(
        golden.path("checkpoint"), tmp_path / "own", router=str(golden.tower("bert")), shard_bytes=300_000
    )
    assert (out / "model.safetensors.index.json").is_file()
    assert "towers" not in "".join(p.read_text() for p in out.glob("*.json"))
    model, processor = load_model(out, dtype=torch.float32)
    batch = subject.processor.process_text(["What is felt?"], [True], [True], [len(subject.video)])
    again = processor.process_text(["What is felt?"], [True], [True], [len(subject.video)])
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    before = subject.model(inputs_embeds=_embeds(subject.model, batch, subject), logits_to_keep=1).logits
    after = model(inputs_embeds=_embeds(model, again, subject), logits_to_keep=1).logits
    ours, theirs = model.state_dict(), subject.model.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)
    # Memory-mapped weights have other addresses, where float32 kernels may round otherwise.
    assert_close(after, before, TOLERANCE_FEATURES, "logits")
    assert model.generation_config.eos_token_id == subject.model.generation_config.eos_token_id
    assert json.loads((out / "processor_config.json").read_text())["aspect"] == "pad"


def _embeds(model: torch.nn.Module, batch: dict[str, torch.Tensor], subject: Subject) -> torch.Tensor:
    return model.embed_prompt(**batch, video_features=[subject.video], audio_features=[subject.audio])  # pyright: ignore
