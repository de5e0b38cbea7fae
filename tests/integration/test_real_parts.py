"""The real parts of `reproduce --scale real-parts`, as their packages hold them; skipped where they cannot be had."""

from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM, WhisperFeatureExtractor, WhisperForConditionalGeneration

from r1omni.config.scale import load_scale
from r1omni.core.errors import ConfigError
from r1omni.core.instruction import REASONING_INSTRUCTION
from r1omni.model.ctranslate2_whisper import whisper_encoder
from r1omni.model.gguf_language_model import read_gguf
from r1omni.model.modeling import HumanOmniForConditionalGeneration
from r1omni.model.processing import HumanOmniProcessor
from r1omni.reproduce.real_parts import PartFiles, build_from_parts, fetch_parts
from real_parts import small_whisper

pytest.importorskip("gguf")


@pytest.fixture(scope="module")
def files() -> PartFiles:
    settings = load_scale("real-parts")
    assert settings.parts is not None
    try:
        return fetch_parts(settings.parts)
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def built(files: PartFiles) -> tuple[HumanOmniForConditionalGeneration, HumanOmniProcessor]:
    model, processor = build_from_parts(files, load_scale("real-parts"), seed=0)
    return model.eval(), processor


def test_every_tensor_of_the_parts_has_its_place(files: PartFiles, built: tuple):
    model, _ = built
    # 30 layers of 9 and two more in the file, and 3 biases of zero a layer.
    assert read_gguf(files.language).num_stored == 272
    sizes = [len(part.state_dict()) for part in (model.language_model, model.audio_tower, model.router)]
    assert sizes == [362, 67, 101]
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(178.9e6, rel=0.001)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_the_language_model_gives_the_logits_of_a_llama_that_transformers_itself_read(files: PartFiles, built: tuple):
    model, processor = built
    llama = LlamaForCausalLM.from_pretrained(files.language.parent, gguf_file=files.language.name).eval()
    ids = torch.tensor([processor.text_ids("<|im_start|> A man shouts; his brows are lowered, 12 times.")])
    with torch.no_grad():
        found, wanted = model(input_ids=ids).logits, llama(input_ids=ids).logits
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-3)
    assert (wanted[0, -1] - wanted[0, 0]).abs().max() > 1  # the logits say something


def test_the_language_model_continues_english(built: tuple):
    model, processor = built
    ids = processor.tokenizer("The capital of France is", return_tensors="pt").input_ids
    with torch.no_grad():
        following = int(model(input_ids=ids).logits[0, -1].argmax())
    assert processor.tokenizer.decode([following]) == " Paris"


def test_the_encoder_is_transformers_whisper(files: PartFiles, tmp_path: Path):
    whisper = WhisperForConditionalGeneration.from_pretrained(small_whisper(tmp_path / "whisper")).eval()
    config, weights = whisper_encoder(files.audio, 1500)
    assert (config["d_model"], config["encoder_layers"], config["encoder_attention_heads"]) == (384, 4, 6)
    wanted = whisper.model.encoder.state_dict()
    assert weights.keys() == wanted.keys()
    assert all(torch.equal(weights[name], wanted[name]) for name in wanted)


def test_sound_is_heard_as_whisper_hears_it(built: tuple):
    model, processor = built
    seconds = torch.arange(3 * 16_000) / 16_000
    tone = (0.3 * torch.sin(2 * torch.pi * 220 * seconds)).numpy()
    features = processor.feature_extractor(tone, sampling_rate=16_000, return_tensors="pt")["input_features"]
    whole = WhisperFeatureExtractor(feature_size=80)(tone, sampling_rate=16_000, return_tensors="pt")["input_features"]
    # The first 3 s of Whisper's own input of 30 s; a window's last frames see what follows.
    assert (features - whole[..., :300])[..., :298].abs().max() < 1e-4
    assert model.encode_audio(features).shape == (1, 25, 384)


def test_the_prompt_is_in_the_language_models_own_layout(built: tuple):
    _, processor = built
    ids = processor.prompt_ids(REASONING_INSTRUCTION, num_frames=4, has_audio=True)
    text = processor.tokenizer.decode([number for number in ids if number >= 0])
    assert text.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert text.endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert ids.count(processor.tokenizer.eos_token_id) == 2
