"""Small tokenizers trained from text, of the published models' kinds: byte-level BPE and uncased WordPiece."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import BertTokenizer, Qwen2Tokenizer

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}"
    "{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""The Qwen2 chat layout."""

END_OF_TURN = "<|im_end|>"
_SPECIAL = ("<|endoftext|>", "<|im_start|>", END_OF_TURN)
_ROUTER_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def build_tokenizers(texts: Sequence[str], vocab_size: int) -> tuple[Qwen2Tokenizer, BertTokenizer]:
    """Train a language and a router tokenizer; the same texts give the same tokenizers.

    Args:
        texts: such as they will read: prompts, reasonings, answers.
        vocab_size: entries of each at most, special tokens included; at least 320, because the 256 bytes come first.

    Returns:
        The language tokenizer (pads with `<|endoftext|>`, ends a turn with `<|im_end|>`) and the router's.
    """
    return _language_tokenizer(texts, vocab_size), _router_tokenizer(texts, vocab_size)


def _language_tokenizer(texts: Sequence[str], vocab_size: int) -> Qwen2Tokenizer:
    blank = Qwen2Tokenizer()
    trained = Tokenizer(models.BPE())
    trained.normalizer = blank.backend_tokenizer.normalizer
    trained.pre_tokenizer = blank.backend_tokenizer.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(_SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    trained.train_from_iterator(texts, trainer)
    vocab, merges = _vocab_and_merges(trained)
    tokenizer = Qwen2Tokenizer(
        vocab=vocab,
        merges=merges,
        unk_token=_SPECIAL[0],
        pad_token=_SPECIAL[0],
        eos_token=END_OF_TURN,
        additional_special_tokens=[_SPECIAL[1]],
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _vocab_and_merges(tokenizer: Tokenizer) -> tuple[dict[str, int], list[Any]]:
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


def _router_tokenizer(texts: Sequence[str], vocab_size: int) -> BertTokenizer:
    """Build a vocabulary of whole words, the most frequent first, and single characters.

    The library's own trainer breaks ties by a random hash.
    """
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words = Counter(word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    characters = sorted({character for word in words for character in word})
    pieces = [*_ROUTER_SPECIAL, *characters, *(f"##{character}" for character in characters)]
    ranked = sorted((word for word in words if len(word) > 1), key=lambda word: (-words[word], word))
    pieces += ranked[: max(0, vocab_size - len(pieces))]
    return BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)})
