"""Made files in the layouts of outside weights: a small Llama as GGUF, a small Whisper as CTranslate2, a small BERT."""

import json
import struct
from pathlib import Path

import numpy as np
import torch
from tokenizers import pre_tokenizers
from torch import Tensor
from transformers import BertConfig, BertModel, BertTokenizer, LlamaConfig, LlamaForCausalLM, WhisperConfig
from transformers import WhisperModel as Whisper

from r1omni.model.tokenizer import CHAT_TEMPLATE

CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = [("Ġ", "b"), ("r", "o"), ("ro", "w"), ("Ġb", "row")]


def made_llama(seed: int = 0) -> LlamaForCausalLM:
    """Two layers, 32 wide, two heads of 16 that share one key; the 256 bytes, four merges and three control tokens."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        vocab_size=len(CONTROL) + 256 + len(MERGES),
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        tie_word_embeddings=True,
        initializer_range=0.2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config).eval()


def write_gguf(path: Path, llama: LlamaForCausalLM, *, quantised: bool = False, architecture: str = "llama") -> Path:
    """Write a Llama as llama.cpp's converter does; its matrices in eight bits where they are quantised."""
    from gguf import GGMLQuantizationType, GGUFWriter, quantize

    config, writer = llama.config, GGUFWriter(path, architecture)
    num_keys = config.num_key_value_heads or config.num_attention_heads
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(num_keys)
    writer.add_rope_freq_base(500.0)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    tokens = [*CONTROL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in MERGES)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(CONTROL) + [1] * (len(tokens) - len(CONTROL)))
    writer.add_token_merges([" ".join(pair) for pair in MERGES])
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(CHAT_TEMPLATE)
    names = {
        "input_layernorm": "attn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "post_attention_layernorm": "ffn_norm",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
    for name, value in llama.model.state_dict().items():
        stored = value.numpy()
        if name.startswith("layers."):
            _, layer, part = name.removesuffix(".weight").split(".", 2)
            if part.endswith(("q_proj", "k_proj")):
                heads = config.num_attention_heads if part.endswith("q_proj") else num_keys
                # `permute` of llama.cpp's convert_hf_to_gguf.py
                stored = stored.reshape(heads, 2, len(stored) // heads // 2, -1).swapaxes(1, 2).reshape(stored.shape)
            name = f"blk.{layer}.{names[part]}.weight"
        else:
            name = {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}[name]
        stored = np.ascontiguousarray(stored)
        if quantised and stored.ndim == 2:
            kind = GGMLQuantizationType.Q8_0
            writer.add_tensor(name, quantize(stored, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def made_whisper(max_source_positions: int, seed: int = 0) -> Whisper:
    """One layer on each side, two heads of 64; weights that half precision holds exactly."""
    torch.manual_seed(seed)
    config = WhisperConfig(
        vocab_size=20,
        d_model=128,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        num_mel_bins=8,
        max_source_positions=max_source_positions,
        max_target_positions=16,
        init_std=0.1,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    return Whisper(config).half().float().eval()


def write_ctranslate2(path: Path, whisper: Whisper, *, version: int = 6) -> Path:
    """Write a Whisper as CTranslate2 does: projections fused, half precision."""
    state, variables = whisper.state_dict(), dict[str, Tensor]()
    for side in ("encoder", "decoder"):
        parts = ["position_encodings/encodings:embed_positions.weight"]
        parts += [f"layer_norm/{new}:layer_norm.{old}" for new, old in (("gamma", "weight"), ("beta", "bias"))]
        if side == "encoder":
            parts += [f"conv{number}/{kind}:conv{number}.{kind}" for number in (1, 2) for kind in ("weight", "bias")]
        else:
            parts += ["embeddings/weight:embed_tokens.weight"]
        for part in parts:
            new, old = part.split(":")
            variables[f"{side}/{new}"] = state[f"{side}.{old}"]
        layer, old = f"{side}/layer_0", f"{side}.layers.0"
        blocks: dict[str, tuple[str, tuple[str, ...]]] = {"self_attention": ("self_attn", ("qkv", "o"))}
        if side == "decoder":
            blocks["attention"] = ("encoder_attn", ("q", "kv", "o"))
        for block, (name, linears) in blocks.items():
            for number, letters in enumerate(linears):
                modules = [f"{old}.{name}.{ {'o': 'out'}.get(letter, letter) }_proj" for letter in letters]
                weights = [state[f"{module}.weight"] for module in modules]
                biases = [
                    state.get(f"{module}.bias", torch.zeros(len(weight)))
                    for module, weight in zip(modules, weights, strict=True)
                ]
                variables[f"{layer}/{block}/linear_{number}/weight"] = torch.cat(weights)
                variables[f"{layer}/{block}/linear_{number}/bias"] = torch.cat(biases)
            _norm(variables, f"{layer}/{block}", state, f"{old}.{name}_layer_norm")
        _norm(variables, f"{layer}/ffn", state, f"{old}.final_layer_norm")
        for number, name in enumerate(("fc1", "fc2")):
            for kind in ("weight", "bias"):
                variables[f"{layer}/ffn/linear_{number}/{kind}"] = state[f"{old}.{name}.{kind}"]

    def word(text: str) -> bytes:
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    data = struct.pack("<I", version) + word("WhisperSpec") + struct.pack("<II", 3, len(variables) + 1)
    for name, value in variables.items():
        values = value.numpy().astype(np.float16).tobytes()
        shape = struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
        data += word(name) + shape + struct.pack("<BI", 4, len(values)) + values
    # A setting, as the layout has some: one 8-bit number without a shape.
    data += word("encoder/num_heads") + struct.pack("<BBI", 0, 1, 1) + b"\2"
    path.write_bytes(data)
    return path


def _norm(variables: dict[str, Tensor], block: str, state: dict[str, Tensor], old: str) -> None:
    variables[f"{block}/layer_norm/gamma"] = state[f"{old}.weight"]
    variables[f"{block}/layer_norm/beta"] = state[f"{old}.bias"]


def write_bert(folder: Path) -> Path:
    """Write a BERT of one layer with its pooler, and its tokenizer, as sentence-transformers does."""
    torch.manual_seed(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    config = BertConfig(
        vocab_size=len(pieces), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).save_pretrained(folder)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"position_embedding_type": "absolute"}))
    BertTokenizer(vocab={piece: place for place, piece in enumerate(pieces)}).save_pretrained(folder)
    return folder
