"""Language models in llama.cpp's GGUF files: their weights under a Qwen2's names, in float32, and their tokenizer.

A Llama is a Qwen2 whose queries, keys and values have no bias: with biases of zero both compute the same. llama.cpp
keeps the rows of queries and keys in pairs (0, 32, 1, 33, ... of a head of 64), transformers in halves (0, 1, ..., 63):

    stored[head, pair, half] = wanted[head, half, pair]

Quantised weights are dequantised once; nothing is computed in four bits here. Read are Llamas with a byte-level BPE
tokenizer whose numbers are split into digits, as SmolLM2 has it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from r1omni.core.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from gguf import GGUFReader

_TOP = {"token_embd.weight": "embed_tokens.weight", "output_norm.weight": "norm.weight"}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""GGUF's name of a part of a layer -> transformers'."""
_CONTROL = 3
"""GGUF's type of a token that text never becomes."""


@dataclass(frozen=True)
class GgufLanguageModel:
    """What one file holds."""

    text_config: dict[str, Any]
    """Fields of a `Qwen2Config`."""
    tensors: dict[str, Tensor]
    """Weights of a `Qwen2Model` by name, float32."""
    num_stored: int
    """Tensors in the file; the biases of zero are not in it."""
    tokenizer: PreTrainedTokenizerFast
    """Ends a turn with the file's end token and pads with its unknown token."""


def read_gguf(path: Path) -> GgufLanguageModel:
    """Read a Llama.

    Args:
        path: the GGUF file.

    Raises:
        CheckpointError: the file is damaged, or holds a model or a tokenizer of another kind.
        ConfigError: the `gguf` package is not installed.
    """
    try:
        from gguf import GGUFReader
    except ModuleNotFoundError:
        raise ConfigError("a GGUF file needs the gguf package: pip install 'r1omni[real-parts]'") from None
    try:
        reader = GGUFReader(path)
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise CheckpointError(f"{path} cannot be read as GGUF: {error}. Fetch the file again.") from error
    architecture, words = _field(reader, path, "general.architecture"), _field(reader, path, "tokenizer.ggml.model")
    splitter = _field(reader, path, "tokenizer.ggml.pre")
    if (architecture, words, splitter) != ("llama", "gpt2", "smollm"):
        raise CheckpointError(
            f"{path} holds a {architecture} with a {words}/{splitter} tokenizer; expected a llama with a gpt2/smollm "
            "tokenizer, such as SmolLM2."
        )
    tokenizer = _tokenizer(reader, path)
    text_config = _text_config(reader, path, tokenizer)
    tensors = dict(_tensors(reader, text_config))
    num_stored = len(tensors)
    for layer in range(text_config["num_hidden_layers"]):
        for part in ("q_proj", "k_proj", "v_proj"):
            name = f"layers.{layer}.self_attn.{part}"
            tensors[f"{name}.bias"] = torch.zeros(len(tensors[f"{name}.weight"]))
    return GgufLanguageModel(text_config, tensors, num_stored, tokenizer)


def _field(reader: "GGUFReader", path: Path, name: str) -> Any:
    field = reader.get_field(name)
    if field is None:
        raise CheckpointError(f"{path} has no field {name}; expected a whole model. Fetch the file again.")
    return field.contents()


def _text_config(reader: "GGUFReader", path: Path, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    def number(name: str) -> Any:
        return _field(reader, path, f"llama.{name}")

    return {
        "hidden_size": number("embedding_length"),
        "num_hidden_layers": number("block_count"),
        "num_attention_heads": number("attention.head_count"),
        "num_key_value_heads": number("attention.head_count_kv"),
        "intermediate_size": number("feed_forward_length"),
        "max_position_embeddings": number("context_length"),
        # Stored in single precision: 1e-5 comes back as 9.99999975e-06.
        "rms_norm_eps": float(f"{number('attention.layer_norm_rms_epsilon'):.6g}"),
        "rope_parameters": {"rope_type": "default", "rope_theta": number("rope.freq_base")},
        "vocab_size": len(tokenizer),
        "tie_word_embeddings": all(tensor.name != "output.weight" for tensor in reader.tensors),
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
    }


def _tensors(reader: "GGUFReader", text_config: dict[str, Any]) -> Iterator[tuple[str, Tensor]]:
    from gguf import dequantize

    heads = {"attn_q": text_config["num_attention_heads"], "attn_k": text_config["num_key_value_heads"]}
    for stored in reader.tensors:
        values = np.array(dequantize(stored.data, stored.tensor_type), dtype=np.float32)
        if stored.name in _TOP:
            yield _TOP[stored.name], torch.from_numpy(values)
            continue
        _, layer, part, kind = stored.name.split(".") if stored.name.count(".") == 3 else ("", "", "", "")
        if part not in _LAYER or kind != "weight":
            raise CheckpointError(f"found a tensor {stored.name}; expected those of a Llama with tied embeddings.")
        if part in heads:
            values = halves(values, heads[part])
        yield f"layers.{layer}.{_LAYER[part]}.weight", torch.from_numpy(values)


def halves(stored: np.ndarray, num_heads: int) -> np.ndarray:
    """Bring the rows of queries or keys from pairs into halves.

    Args:
        stored: [rows, columns], the rows of each head in pairs.
        num_heads: heads that share the rows evenly.
    """
    rows, columns = stored.shape
    pairs = stored.reshape(num_heads, rows // num_heads // 2, 2, columns)
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(rows, columns)


def _tokenizer(reader: "GGUFReader", path: Path) -> PreTrainedTokenizerFast:
    def field(name: str) -> Any:
        return _field(reader, path, f"tokenizer.{name}")

    tokens, kinds = field("ggml.tokens"), field("ggml.token_type")
    merges = [tuple(merge.split(" ")) for merge in field("ggml.merges")]
    backend = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, merges))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL]
    backend.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in control])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=tokens[field("ggml.eos_token_id")],
        # The file's own padding token ends a turn, too.
        pad_token=tokens[field("ggml.unknown_token_id")],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = field("chat_template")
    return tokenizer
