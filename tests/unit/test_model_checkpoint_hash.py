"""A checkpoint is what its files hold, not where they lie."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from r1omni.core.errors import CheckpointError
from r1omni.model.checkpoint_hash import checkpoint_identity
from r1omni.runs.file_hashes import FileHashes
from small_model import small_model


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    model, processor = small_model()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def weights_of(folder: Path) -> str:
    return checkpoint_identity(folder, hashes=FileHashes(None))["weights"]


def test_a_checkpoint_that_was_moved_is_the_same(model: Path, tmp_path: Path):
    before = weights_of(model)
    assert weights_of(Path(shutil.move(model, tmp_path / "elsewhere"))) == before


def test_other_weights_under_the_same_path_are_another_checkpoint(model: Path):
    before, size = weights_of(model), (model / "model.safetensors").stat().st_size
    tensors = load_file(model / "model.safetensors")
    name = sorted(tensors)[0]
    tensors[name] = tensors[name] + 1
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    assert (model / "model.safetensors").stat().st_size == size and weights_of(model) != before


def test_every_shard_counts(model: Path):
    tensors = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    names = sorted(tensors)
    halves = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file({name: tensors[name] for name in part}, model / file, metadata={"format": "pt"})
    weight_map = {name: file for file, part in halves.items() for name in part}
    (model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    seen = {weights_of(model)}
    for file, part in halves.items():
        changed = {name: tensors[name] + (name == part[0]) for name in part}
        save_file(changed, model / file, metadata={"format": "pt"})
        seen.add(weights_of(model))
    assert len(seen) == 3


@pytest.mark.parametrize("name", ["config.json", "processor_config.json", "tokenizer.json"])
def test_settings_and_vocabularies_count(model: Path, name: str):
    before = weights_of(model)
    (model / name).write_text((model / name).read_text() + "\n")
    assert weights_of(model) != before


def test_pooling_is_resolved_whether_it_is_asked_for_or_the_checkpoints_own(model: Path):
    assert checkpoint_identity(model)["video_pooling"] == "none"
    assert checkpoint_identity(model) == checkpoint_identity(model, video_pooling="none")
    assert checkpoint_identity(model, video_pooling="slow_fast")["video_pooling"] == "slow_fast"


def test_files_that_nothing_loads_do_not_count(model: Path):
    before = weights_of(model)
    (model / "notes.md").write_text("not read by anything")
    assert weights_of(model) == before


def test_a_folder_that_is_no_checkpoint_is_a_sentence(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"is empty; expected a folder with config\.json"):
        checkpoint_identity(tmp_path)
