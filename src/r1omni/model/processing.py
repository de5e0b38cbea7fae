"""From decoded clips and conversations to what the model reads.

Pictures are resized by SigLIP's own image processor (the Pillow one, by name, so that pixels do not depend on what
else is installed), sound becomes Whisper's log-mel features, and the prompt is the chat template with the media inside:

    <vi_start> VIDEO <vi_end> newline <au_start> AUDIO <au_end> newline instruction

The media stand at the head of the first user message; the router reads the last user message alone. The wrappers are
ordinary text. A clip without sound has no audio part and the other way round.

Control tokens and media tags in the text of a message stay text (`chat_text`): only the placeholders put here become
media.
"""

import copy
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    AutoProcessor,
    AutoTokenizer,
    BatchFeature,
    PreTrainedTokenizerBase,
    ProcessorMixin,
    SiglipImageProcessorPil,
    WhisperFeatureExtractor,
)

from r1omni.core.answer_format import PAPER_FORMAT, AnswerFormat
from r1omni.core.message import Message
from r1omni.model.chat_text import Part, as_messages, encode, question, render, text_tokens
from r1omni.model.configuration import HumanOmniConfig, num_video_tokens

if TYPE_CHECKING:
    from r1omni.media.decode import Media

PAD_GREY = 127
"""Value of the square a frame is centred on."""


class HumanOmniProcessor(ProcessorMixin):
    """Media and instructions in, one left-padded batch out.

    Args:
        image_processor: SigLIP's.
        feature_extractor: Whisper's.
        tokenizer: the language model's, with its chat template.
        router_tokenizer: the router's.
        num_frames: frames read from a clip.
        video_tokens_per_frame: tokens the projector makes of a frame.
        video_pooling: `none` or `slow_fast`, see `HumanOmniConfig.video_pooling`; with it, how many placeholders
            pictures become.
        audio_tokens: placeholders the sound becomes, whatever its length.
        aspect: `pad` or `stretch`, see `HumanOmniConfig.aspect`.
        invents_silence: give pictures without sound ten seconds of silence, as the official script does.
        image_token_id: placeholder of a still image.
        video_token_id: placeholder of a video.
        audio_token_id: placeholder of sound.
        answer_format: spells the tagged parts of the model's answers; see `AnswerFormat`.
    """

    def __init__(
        self,
        image_processor: SiglipImageProcessorPil,
        feature_extractor: WhisperFeatureExtractor,
        tokenizer: PreTrainedTokenizerBase,
        router_tokenizer: PreTrainedTokenizerBase,
        num_frames: int = 8,
        video_tokens_per_frame: int = 49,
        audio_tokens: int = 500,
        aspect: str = "pad",
        video_pooling: str = "none",
        invents_silence: bool = False,
        image_token_id: int = -200,
        video_token_id: int = -201,
        audio_token_id: int = -202,
        answer_format: str = str(PAPER_FORMAT),
    ) -> None:
        self.image_processor = image_processor
        self.feature_extractor = feature_extractor
        self.tokenizer = tokenizer
        self.router_tokenizer = router_tokenizer
        self.chat_template = tokenizer.chat_template
        self.num_frames = num_frames
        self.video_tokens_per_frame = video_tokens_per_frame
        self.audio_tokens = audio_tokens
        self.aspect = aspect
        self.video_pooling = video_pooling
        self.invents_silence = invents_silence
        self.image_token_id = image_token_id
        self.video_token_id = video_token_id
        self.audio_token_id = audio_token_id
        self.answer_format = answer_format

    @classmethod
    def from_config(
        cls,
        config: HumanOmniConfig,
        tokenizer: PreTrainedTokenizerBase,
        router_tokenizer: PreTrainedTokenizerBase,
    ) -> "HumanOmniProcessor":
        """Build the processor that fits a configuration.

        Args:
            config: the model's.
            tokenizer: the language model's.
            router_tokenizer: the router's.
        """
        vision, audio = config.vision, config.audio
        size_px: Any = vision.image_size
        sampling_rate_hz, hop = 16_000, 160
        chunk_s = audio.max_source_positions * 2 * hop // sampling_rate_hz
        return cls(
            SiglipImageProcessorPil(
                size={"height": size_px, "width": size_px},
                image_mean=[0.5, 0.5, 0.5],
                image_std=[0.5, 0.5, 0.5],
                resample=3,
            ),
            WhisperFeatureExtractor(feature_size=audio.num_mel_bins, chunk_length=chunk_s),
            tokenizer,
            router_tokenizer,
            num_frames=config.num_frames,
            video_tokens_per_frame=config.video_tokens_per_frame,
            audio_tokens=config.audio_tokens,
            aspect=config.aspect,
            video_pooling=config.video_pooling,
            image_token_id=config.image_token_id,
            video_token_id=config.video_token_id,
            audio_token_id=config.audio_token_id,
        )

    @classmethod
    def _get_arguments_from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        processor_dict: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[Any]:
        """Build the media processors by name from their saved settings, the tokenizers from their files."""
        saved = processor_dict or {}
        image = {k: v for k, v in saved["image_processor"].items() if k != "image_processor_type"}
        sound = {k: v for k, v in saved["feature_extractor"].items() if k != "feature_extractor_type"}
        # transformers' own loader takes the language model's tokenizer for the router where the router's is missing.
        kwargs["trust_remote_code"] = False
        tokenizers = [
            AutoTokenizer.from_pretrained(pretrained_model_name_or_path, **{**kwargs, **place})
            for place in ({}, {"subfolder": "router_tokenizer"})
        ]
        return [SiglipImageProcessorPil(**image), WhisperFeatureExtractor(**sound), *tokenizers]

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        media: "Sequence[Media]",
        instructions: Sequence[str | Sequence[Message]],
        add_generation_prompt: bool = True,
        prefixes: Sequence[str] | None = None,
    ) -> BatchFeature:
        """Build one batch from clips and what is asked about them.

        Args:
            media: decoded clips; one without frames and waveform is text alone.
            instructions: one question or conversation per clip.
            add_generation_prompt: end with the opening of the assistant's turn.
            prefixes: openings of the assistant's answers, one per clip; None for none.

        Returns:
            `process_text`'s fields, `pixel_values` [clips with video, frames, 3, rows, cols] (a list of clips where
            their lengths differ) and `input_features` [clips with audio, mels, mel frames].
        """
        parts = [self.process_media(clip) for clip in media]
        videos = [part["pixel_values"] for part in parts if "pixel_values" in part]
        sounds = [part["input_features"] for part in parts if "input_features" in part]
        batch = self.process_text(
            instructions,
            ["pixel_values" in part for part in parts],
            ["input_features" in part for part in parts],
            [len(part["pixel_values"]) if "pixel_values" in part else 0 for part in parts],
            add_generation_prompt=add_generation_prompt,
            prefixes=prefixes,
        )
        if videos:
            batch["pixel_values"] = torch.stack(videos) if len({len(v) for v in videos}) == 1 else videos
        if sounds:
            batch["input_features"] = torch.stack(sounds)
        return batch

    def process_media(self, media: "Media") -> dict[str, Tensor]:
        """Return what the towers read of one clip: only the parts it has.

        Args:
            media: one decoded clip.

        Returns:
            `pixel_values` [frames, 3, rows, cols] and `input_features` [mels, mel frames], float32.
        """
        out: dict[str, Tensor] = {}
        if media.frames is not None:
            frames = [pad_to_square(f) for f in media.frames] if self.aspect == "pad" else list(media.frames)
            out["pixel_values"] = self.image_processor(frames, return_tensors="pt")["pixel_values"]
        rate_hz = self.feature_extractor.sampling_rate
        waveform = media.waveform
        if waveform is not None and media.sample_rate_hz != rate_hz:
            raise ValueError(f"The waveform is at {media.sample_rate_hz} Hz; expected {rate_hz}: load it so.")
        if waveform is None and media.frames is not None and self.invents_silence:
            waveform = np.zeros(10 * rate_hz, dtype=np.float32)
        if waveform is not None:
            features = self.feature_extractor(waveform, sampling_rate=rate_hz, return_tensors="pt")
            out["input_features"] = features["input_features"][0]
        return out

    def like_official(self) -> "HumanOmniProcessor":
        """Return a copy that prepares media as the official inference script does, for comparisons.

        Frames are stretched to the square, as they were not in training, and missing sound becomes silence. Questions
        for which that script fails, such as sound alone, keep their meaning here.
        """
        other = copy.copy(self)
        other.aspect, other.invents_silence = "stretch", True
        return other

    def with_answer_format(self, answer_format: AnswerFormat) -> "HumanOmniProcessor":
        """Return a copy for a model that answers, or learns to answer, in other tagged parts.

        Args:
            answer_format: the parts.
        """
        other = copy.copy(self)
        other.answer_format = str(answer_format)
        return other

    def process_text(
        self,
        prompts: Sequence[str | Sequence[Message]],
        has_video: Sequence[bool],
        has_audio: Sequence[bool],
        num_frames: Sequence[int],
        add_generation_prompt: bool = True,
        prefixes: Sequence[str] | None = None,
    ) -> BatchFeature:
        """Return prompts, left padded, with every media token a placeholder, and the bare questions for the router.

        Args:
            prompts: one conversation per clip; a string is a conversation of one user message.
            has_video: whether the clip has pictures.
            has_audio: whether it has sound.
            num_frames: frames per clip; 1 is a still image, 0 where there are none.
            add_generation_prompt: end with the opening of the assistant's turn.
            prefixes: openings of the assistant's answers, one per prompt; None for none.

        Returns:
            `input_ids`, `attention_mask`, `router_input_ids`, `router_attention_mask`.

        Raises:
            ValueError: see `prompt_ids`.
        """
        talks = [as_messages(prompt) for prompt in prompts]
        openings = [""] * len(talks) if prefixes is None else prefixes
        wanted = [
            (talk, frames if video else 0, audio, add_generation_prompt, prefix)
            for talk, video, audio, frames, prefix in zip(
                talks, has_video, has_audio, num_frames, openings, strict=True
            )
        ]
        ids_of = {prompt: self.prompt_ids(*prompt) for prompt in set(wanted)}
        rows = [ids_of[prompt] for prompt in wanted]
        length = max(len(row) for row in rows)
        pad_id = self.tokenizer.pad_token_id
        router = self.router_tokenizer(
            [question(talk) for talk in talks],
            padding=True,
            truncation=True,
            max_length=512,
            return_tensors="pt",
            split_special_tokens=True,
        )
        return BatchFeature(
            {
                "input_ids": torch.tensor([[pad_id] * (length - len(row)) + row for row in rows]),
                "attention_mask": torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows]),
                "router_input_ids": router["input_ids"],
                "router_attention_mask": router["attention_mask"],
            }
        )

    def prompt_ids(
        self,
        messages: str | Sequence[Message],
        num_frames: int,
        has_audio: bool,
        add_generation_prompt: bool = True,
        prefix: str = "",
    ) -> list[int]:
        """Return one prompt's ids, media tokens as placeholders.

        Args:
            messages: the conversation; a string is one user message.
            num_frames: 0 for no pictures, 1 for a still image.
            has_audio: whether there is sound.
            add_generation_prompt: end with the opening of the assistant's turn.
            prefix: opening of the assistant's answer. It is tokenised apart from the template, as answers are.

        Raises:
            ValueError: there is no message; media or a prefix have no place; or the chat template leaves a message out.
        """
        talk = as_messages(messages)
        if prefix and not add_generation_prompt:
            raise ValueError("A prefix opens the assistant's turn, but add_generation_prompt is False; set it to True.")
        first_user = next((place for place, message in enumerate(talk) if message.role == "user"), None)
        if first_user is None and (num_frames or has_audio):
            raise ValueError("The conversation has pictures or sound but no user message to hold them; add one.")
        ids: list[int] = []
        stretch: list[Part] = []
        for part in render(self.tokenizer, talk, add_generation_prompt):
            if part.message is not None and part.message == first_user:
                for opening, placeholders, closing in self._media(num_frames, has_audio):
                    ids += encode(self.tokenizer, [*stretch, Part(opening, None)]) + placeholders
                    stretch = [Part(closing, None)]
            stretch.append(part)
        return ids + encode(self.tokenizer, stretch) + self.text_ids(prefix)

    def _media(self, num_frames: int, has_audio: bool) -> Iterator[tuple[str, list[int], str]]:
        """The media of a prompt: what opens each of them, its placeholders, what closes it."""
        if num_frames:
            wrapper, token_id = ("im", self.image_token_id) if num_frames == 1 else ("vi", self.video_token_id)
            count = num_video_tokens(num_frames, self.video_tokens_per_frame, self.video_pooling)
            yield f"<{wrapper}_start>", [token_id] * count, f"<{wrapper}_end>\n"
        if has_audio:
            yield "<au_start>", [self.audio_token_id] * self.audio_tokens, "<au_end>\n"

    def text_ids(self, text: str) -> list[int]:
        """Return the ids of text that a user, a client or the model wrote; nothing in it becomes a control token.

        Args:
            text: any text.
        """
        return encode(self.tokenizer, [Part(text, 0)])

    def text_tokens(self, text: str) -> list[tuple[int, int, int]]:
        """Return the ids of `text_ids`, each with its start and end in characters.

        Args:
            text: any text.
        """
        return text_tokens(self.tokenizer, text)


def pad_to_square(frame: np.ndarray) -> np.ndarray:
    """Centre a frame on a grey square of its longer side.

    Args:
        frame: [rows, cols, 3], 8 bit.
    """
    rows, cols = frame.shape[:2]
    side = max(rows, cols)
    square = np.full((side, side, 3), PAD_GREY, dtype=np.uint8)
    top, left = (side - rows) // 2, (side - cols) // 2
    square[top : top + rows, left : left + cols] = frame
    return square


AutoProcessor.register(HumanOmniConfig, HumanOmniProcessor)
