"""What was heard to be said: a Whisper checkpoint of the user's, by folder or hub id, through transformers.

Whisper invents words where nobody speaks, so it gets only the stretches in which speech was found. What it returns is
heard, not written, and may be wrong; its confidence is the mean probability of its tokens.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from r1omni.core.errors import ConfigError
from r1omni.core.evidence import EvidenceItem
from r1omni.evidence.item import make_item
from r1omni.evidence.speech import SAMPLE_RATE_HZ, SpeechSpan

if TYPE_CHECKING:
    from transformers.generation.utils import GenerateEncoderDecoderOutput

HEARING_VERSION = 2
"""Raise it with every change that gives other transcripts."""
LONGEST_CHUNK_S = 28.0
"""Whisper hears 30 s at a time."""
JOIN_WITHIN_S = 2.0
"""Pauses up to this length do not end a chunk: words around them help each other."""

_PAD_S = 0.2
_MAX_TOKENS = 220
_SOUNDS = re.compile(r"\[[^\]]*\]|\([^)]*\)|[♪♫]")


class Transcriber:
    """A Whisper checkpoint, loaded once."""

    def __init__(self, checkpoint: str, language: str | None = None) -> None:
        """Load the checkpoint.

        Args:
            checkpoint: a folder or a hub id, in the layout of transformers.
            language: spoken language, such as `en`; None lets a multilingual checkpoint find out.

        Raises:
            ConfigError: the checkpoint cannot be loaded.
        """
        from transformers import WhisperForConditionalGeneration, WhisperProcessor

        try:
            self._model: WhisperForConditionalGeneration = WhisperForConditionalGeneration.from_pretrained(checkpoint)
            self._processor = WhisperProcessor.from_pretrained(checkpoint)
        except (OSError, ValueError, KeyError) as error:
            raise _refusal(checkpoint, str(error)) from error
        self._model.eval()
        is_multilingual = getattr(self._model.generation_config, "is_multilingual", False)
        self._language = language if is_multilingual else None
        name = Path(checkpoint).name
        self.name = name if "whisper" in name.lower() else f"whisper {name}"

    def transcribe(self, waveform: np.ndarray, start_s: float, spans: Sequence[SpeechSpan]) -> list[EvidenceItem]:
        """Return what was heard, an item for each chunk with words.

        Args:
            waveform: float32 [samples] at 16 kHz.
            start_s: of its first sample, from the file's beginning.
            spans: where somebody speaks, from the file's beginning.
        """
        items = []
        for first_s, last_s in chunks(spans):
            begin = max(0, round((first_s - start_s - _PAD_S) * SAMPLE_RATE_HZ))
            end = round((last_s - start_s + _PAD_S) * SAMPLE_RATE_HZ)
            text, confidence = self._hear(waveform[begin:end])
            if text:
                items.append(make_item("transcript", text, (first_s, last_s), self.name, confidence=confidence))
        return items

    def _hear(self, waveform: np.ndarray) -> tuple[str, float]:
        import torch

        inputs = self._processor(waveform, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
        with torch.inference_mode():
            made = self._model.generate(
                inputs["input_features"].to(self._model.dtype),
                max_new_tokens=_MAX_TOKENS,
                do_sample=False,
                num_beams=1,
                return_dict_in_generate=True,
                output_scores=True,
                language=self._language,
                task=None if self._language is None else "transcribe",
            )
        output = cast("GenerateEncoderDecoderOutput", made)
        scores = torch.cat(output.scores or ()).float().softmax(dim=-1)
        chosen = output.sequences[0, -len(scores) :]
        confidence = float(scores.gather(1, chosen[:, None]).mean())
        text = self._processor.batch_decode(output.sequences, skip_special_tokens=True)[0]
        return words_of(text), confidence


def words_of(heard: str) -> str:
    """Return the words of what Whisper wrote, without its names of sounds, such as `[LAUGHTER]` or `(wind blowing)`.

    Args:
        heard: Whisper's text.
    """
    return " ".join(_SOUNDS.sub(" ", heard).split())


def check_whisper(checkpoint: str) -> None:
    """Refuse what is no Whisper checkpoint by its configuration, without loading weights.

    Args:
        checkpoint: a folder or a hub id.

    Raises:
        ConfigError: there is no such checkpoint, or it is of another kind.
    """
    from transformers import PretrainedConfig

    try:
        kind = PretrainedConfig.get_config_dict(checkpoint)[0].get("model_type")
    except (OSError, ValueError) as error:
        raise _refusal(checkpoint, str(error)) from error
    if kind != "whisper":
        raise _refusal(checkpoint, f"its model_type is {kind!r}")


def _refusal(checkpoint: str, reason: str) -> ConfigError:
    return ConfigError(
        f"{checkpoint}: cannot be loaded as a Whisper checkpoint ({reason}); give a folder or hub id with config.json, "
        "weights, preprocessor_config.json and tokenizer, such as openai/whisper-base"
    )


def chunks(spans: Sequence[SpeechSpan]) -> list[tuple[float, float]]:
    """Join stretches of speech to chunks that Whisper hears at once; longer stretches are divided.

    Args:
        spans: in order of time.
    """
    joined: list[list[float]] = []
    for span in spans:
        start_s = span.start_s
        near = bool(joined) and start_s - joined[-1][1] <= JOIN_WITHIN_S
        if near and span.stop_s - joined[-1][0] <= LONGEST_CHUNK_S:
            joined[-1][1] = span.stop_s
            continue
        while span.stop_s - start_s > LONGEST_CHUNK_S:
            joined.append([start_s, start_s + LONGEST_CHUNK_S])
            start_s += LONGEST_CHUNK_S
        joined.append([start_s, span.stop_s])
    return [(start_s, stop_s) for start_s, stop_s in joined]
