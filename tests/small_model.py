"""A HumanOmni of some ten thousand parameters with its processor, and an engine whose features are made up."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import BertTokenizer

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.core.instruction import REASONING_INSTRUCTION, format_answer
from r1omni.infer.encoder import Encoder
from r1omni.infer.engine import Engine
from r1omni.infer.features import Features
from r1omni.infer.generator import Generator
from r1omni.infer.scorer import Scorer
from r1omni.model.adapters import TrainedModel
from r1omni.model.modeling import HumanOmniForConditionalGeneration
from r1omni.model.presets import build_model, preset_config
from r1omni.model.processing import HumanOmniProcessor
from r1omni.model.tokenizer import build_tokenizers

WORDS = ["the voice is loud", "brows are raised", "so happy", "so sad", "so angry"]
LABELS = ("happy", "sad", "angry")


@cache
def _tokenizers():
    texts = [REASONING_INSTRUCTION, *WORDS, *LABELS, format_answer("a", "b")] * 20
    tokenizer, _ = build_tokenizers(texts, 400)
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    return tokenizer, BertTokenizer(vocab={piece: place for place, piece in enumerate(pieces)})


def small_model(seed: int = 0) -> tuple[HumanOmniForConditionalGeneration, HumanOmniProcessor]:
    tokenizer, router = _tokenizers()
    config = preset_config(
        "tiny",
        text_config={
            "vocab_size": len(tokenizer),
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
        },
        router_config={"vocab_size": len(router), "hidden_size": 16, "intermediate_size": 16},
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 2,
            "image_size": 32,
            "patch_size": 16,
        },
        audio_config={"d_model": 16, "encoder_layers": 1, "encoder_ffn_dim": 16, "max_source_positions": 50},
        num_frames=2,
    )
    return build_model(config, seed), HumanOmniProcessor.from_config(config, tokenizer, router)


class MadeUpEncoder(Encoder):
    """Makes features up from a clip's id; `a-` has no pictures, `v-` no sound, `x-` cannot be read."""

    def stream(self, clips: Iterable[Clip], *, remember: bool = False) -> Iterator[Features | MediaError]:
        yield from map(self._make, clips)

    def features(self, clips: Sequence[Clip]) -> list[Features | MediaError]:
        return [self._make(clip) for clip in clips]

    def _make(self, clip: Clip) -> Features | MediaError:
        if clip.id.startswith("x-"):
            return MediaError("truncated", f"{clip.path}: cut.")
        config = self.model.config
        generator = torch.Generator().manual_seed(sum(clip.id.encode()))
        tone = LABELS.index(clip.label) if clip.label in LABELS else 0
        video = torch.randn(2, config.grid_patches**2, config.vision_config.hidden_size, generator=generator) + 2 * tone
        audio = torch.randn(config.audio_tokens, config.audio_config.d_model, generator=generator) - 2 * tone
        return Features(None if clip.id.startswith("a-") else video, None if clip.id.startswith("v-") else audio)


class MadeUpFeatures(Engine):
    """An engine whose encoder makes features up."""

    def __init__(self, model: TrainedModel, processor: HumanOmniProcessor, **options: Any) -> None:
        encoder = MadeUpEncoder(model, processor)
        generator = Generator(model, processor, **options)
        super().__init__(model, processor, encoder, generator, Scorer(model, processor))


def assert_equal_gradients(run: Path, expected: Path) -> None:
    """Compare the gradients of two runs of one step, as Adam's moments in their checkpoints hold them.

    After one step the first moments are a tenth of the gradients, the second a thousandth of their squares. Weights
    would not do: Adam turns rounding errors into steps of the learning rate's size where a gradient is near 0, as that
    of a key projection's bias is.
    """
    ours, theirs = (
        load_file(folder / "checkpoints" / "step-00000001" / "optimizer.safetensors") for folder in (run, expected)
    )
    assert ours.keys() == theirs.keys() and len(theirs) > 40
    for name, value in theirs.items():
        assert (ours[name] - value).norm() <= 1e-4 * value.norm() + 1e-8, name


def small_clips(count: int) -> list[Clip]:
    kinds = ("", "a-", "v-")
    return [
        Clip(id=f"{kinds[index % 3]}{index}", path=Path(f"/made-up/{index}.mp4"), label=LABELS[index // 3 % 3])
        for index in range(count)
    ]
