"""Clips are decoded once: the towers' own stages leave in the cache what later stages would have put there."""

from pathlib import Path

import torch

from r1omni.config.scale import TowerSettings
from r1omni.core.clip import Clip
from r1omni.datasets.manifest import read_manifest
from r1omni.infer.encoder import Encoder
from r1omni.infer.feature_cache import FeatureCache
from r1omni.model.load_model import load_model
from r1omni.model.save_model import save_model
from r1omni.reproduce.tower_targets import train_audio, train_vision
from r1omni.synth.corpus import make_corpus
from small_model import small_model

SHORT = TowerSettings(num_epochs=1, batch_size=2, learning_rate=1e-3)


def _encoder(model, processor, folder: Path) -> Encoder:
    return Encoder(model, processor, cache=FeatureCache(folder), num_frames=processor.num_frames, batch_size=8)


def _names(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*/*.safetensors")}


def test_training_leaves_the_entries_that_decoding_the_clips_again_would_make(tmp_path: Path) -> None:
    make_corpus("humanomni-like", tmp_path / "corpus", 4, seed=2, num_workers=1)
    clips: list[Clip] = read_manifest(tmp_path / "corpus" / "manifest.jsonl")
    model, processor = small_model()
    trained = _encoder(model, processor, tmp_path / "trained")
    for train in (train_vision, train_audio):
        facts = train(trained, clips, SHORT, SHORT, 0, lambda name, share: None)
        assert len(facts) == 2

    save_model(model, processor, tmp_path / "model")
    again = _encoder(*load_model(tmp_path / "model", dtype="float32", device="cpu"), tmp_path / "again")
    assert len(list(again.stream(clips))) == 4
    names = _names(tmp_path / "trained")
    assert len(names) == 8  # two sides of four clips
    assert names == _names(tmp_path / "again")
    for name in names:
        kept, decoded = (FeatureCache(tmp_path / folder).get(name) for folder in ("trained", "again"))
        assert kept is not None and decoded is not None
        assert kept.read == decoded.read
        # On one machine they are equal; a processor may round batches of another size differently.
        torch.testing.assert_close(kept.features, decoded.features, atol=1e-5, rtol=1e-5)
