"""Weights in other programs' layouts, read from made files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from outside_weights import made_llama, made_whisper, write_ctranslate2, write_gguf
from r1omni.core.errors import CheckpointError
from r1omni.model.ctranslate2_whisper import read_variables, whisper_encoder, whisper_names
from r1omni.model.gguf_language_model import GgufLanguageModel, halves, read_gguf

pytest.importorskip("gguf")


def as_qwen2(read: GgufLanguageModel) -> Qwen2ForCausalLM:
    model = Qwen2ForCausalLM(Qwen2Config(**read.text_config))
    model.model.load_state_dict(read.tensors, strict=True)
    model.tie_weights()
    return model.eval()


def test_pairs_become_halves():
    # Two heads of four rows: wanted are 0 1 | 2 3 and 4 5 | 6 7, stored as (0, 2), (1, 3) and (4, 6), (5, 7).
    stored = np.array([[0], [2], [1], [3], [4], [6], [5], [7]])
    assert halves(stored, num_heads=2)[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


def test_a_llama_read_as_a_qwen2_gives_the_same_logits(tmp_path: Path):
    llama = made_llama()
    read = read_gguf(write_gguf(tmp_path / "llama.gguf", llama))
    # 9 matrices and norms in each of 2 layers, the table and the last norm; then 3 biases of zero a layer.
    assert (read.num_stored, len(read.tensors)) == (20, 26)
    ids = torch.tensor([[1, 40, 99, 7, 200, 13, 2]])
    with torch.no_grad():
        torch.testing.assert_close(as_qwen2(read)(ids).logits, llama(ids).logits, rtol=1e-5, atol=1e-6)


def test_quantised_weights_come_back_to_half_a_step(tmp_path: Path):
    llama = made_llama()
    read = read_gguf(write_gguf(tmp_path / "llama.gguf", llama, quantised=True))
    wanted = llama.model.state_dict()["layers.1.mlp.up_proj.weight"]
    found = read.tensors["layers.1.mlp.up_proj.weight"]
    # Eight bits over blocks of 32: a step is the block's largest value / 127, kept in half precision.
    step = wanted.abs().amax(1, keepdim=True) / 127
    assert found.dtype == torch.float32 and not torch.equal(found, wanted)
    assert ((found - wanted).abs() <= 0.5 * step + 127 * step * 2**-11).all()


def test_the_tokenizer_splits_numbers_merges_words_and_keeps_control_tokens_whole(tmp_path: Path):
    tokenizer = read_gguf(write_gguf(tmp_path / "llama.gguf", made_llama())).tokenizer
    words = tokenizer.convert_ids_to_tokens(tokenizer("<|im_start|>a brow 12<|im_end|>")["input_ids"])
    assert words == ["<|im_start|>", "a", "Ġbrow", "Ġ", "1", "2", "<|im_end|>"]
    assert tokenizer.decode(tokenizer("wide, 12\nbrows")["input_ids"]) == "wide, 12\nbrows"
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    asked = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert str(asked).endswith("<|im_start|>user\nhi<|im_end|>\n")


def test_other_architectures_and_damaged_files_are_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match="holds a gptx with a gpt2/smollm tokenizer; expected a llama"):
        read_gguf(write_gguf(tmp_path / "other.gguf", made_llama(), architecture="gptx"))
    (tmp_path / "cut.gguf").write_bytes((tmp_path / "other.gguf").read_bytes()[:3000])
    with pytest.raises(CheckpointError, match=r"cut\.gguf cannot be read as GGUF"):
        read_gguf(tmp_path / "cut.gguf")
    (tmp_path / "text.gguf").write_text("no model")
    with pytest.raises(CheckpointError, match="cannot be read as GGUF"):
        read_gguf(tmp_path / "text.gguf")


def test_a_whisper_comes_back_whole_but_for_the_biases_that_keys_do_not_have(tmp_path: Path):
    whisper = made_whisper(40)
    named = whisper_names(read_variables(write_ctranslate2(tmp_path / "model.bin", whisper)))
    found = {name.removeprefix("model."): value for name, value in named.items() if name.startswith("model.")}
    wanted = whisper.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert torch.equal(named["proj_out.weight"], wanted["decoder.embed_tokens.weight"])


def test_the_encoder_of_a_shorter_sound_is_the_encoder_with_a_shorter_table(tmp_path: Path):
    whisper = made_whisper(40)
    config, weights = whisper_encoder(write_ctranslate2(tmp_path / "model.bin", whisper), max_source_positions=10)
    assert config == {
        "d_model": 128,
        "encoder_layers": 1,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
        "num_mel_bins": 8,
        "max_source_positions": 10,
    }
    whisper.config.max_source_positions = 10
    encoder = WhisperEncoder(whisper.config).eval()
    encoder.load_state_dict(weights, strict=True)
    sound = torch.randn(1, 8, 20, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        hidden = torch.nn.functional.gelu(whisper.encoder.conv2(torch.nn.functional.gelu(whisper.encoder.conv1(sound))))
        hidden = hidden.transpose(1, 2) + whisper.encoder.embed_positions.weight[:10]
        wanted = whisper.encoder.layer_norm(_first(whisper.encoder.layers[0](hidden, None)))
        torch.testing.assert_close(encoder(sound).last_hidden_state, wanted, rtol=1e-5, atol=1e-5)


def _first(output: object) -> torch.Tensor:
    found = output[0] if isinstance(output, tuple) else output
    assert isinstance(found, torch.Tensor)
    return found


def test_files_of_another_version_cut_short_or_with_too_few_positions_are_refused(tmp_path: Path):
    whole = write_ctranslate2(tmp_path / "model.bin", made_whisper(40))
    with pytest.raises(CheckpointError, match="has 40 positions; expected at least 41"):
        whisper_encoder(whole, 41)
    (tmp_path / "cut.bin").write_bytes(whole.read_bytes()[:-3000])
    with pytest.raises(CheckpointError, match="is cut short or damaged"):
        read_variables(tmp_path / "cut.bin")
    with pytest.raises(CheckpointError, match="has version 5 of CTranslate2's layout; expected 6"):
        read_variables(write_ctranslate2(tmp_path / "old.bin", made_whisper(40), version=5))
