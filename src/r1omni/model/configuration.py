"""The configuration of a HumanOmni model: four standard configurations and the few numbers that connect them.

It also owns how many tokens a clip becomes, because model and processor must agree on it.
"""

from math import inf, isqrt
from typing import ClassVar, Literal, TypeVar

from transformers import AutoConfig, BertConfig, PreTrainedConfig, Qwen2Config, SiglipVisionConfig, WhisperConfig

ProjectorType = Literal["all_in_one_small", "all_in_one"]
Aspect = Literal["pad", "stretch"]
VideoPooling = Literal["none", "slow_fast"]

_PARTS: dict[str, type[PreTrainedConfig]] = {
    "vision_config": SiglipVisionConfig,
    "audio_config": WhisperConfig,
    "router_config": BertConfig,
    "text_config": Qwen2Config,
}


_Part = TypeVar("_Part", bound=PreTrainedConfig)


def calibration_problem(temperature: object, lapse_rate: object) -> str | None:
    """Return what is wrong with how label probabilities are calibrated; None if nothing is.

    Args:
        temperature: see `HumanOmniConfig.label_temperature`.
        lapse_rate: see `HumanOmniConfig.label_lapse_rate`.
    """
    if not (isinstance(temperature, int | float) and 0.0 < temperature < inf):
        return f"label_temperature is {temperature!r}; expected a finite number above 0"
    if not (isinstance(lapse_rate, int | float) and 0.0 <= lapse_rate < 1.0):
        return f"label_lapse_rate is {lapse_rate!r}; expected a share of at least 0 and below 1"
    return None


class HumanOmniConfig(PreTrainedConfig):
    """Vision tower, audio tower, router and language model, and how they are connected.

    The four `*_config` fields take a configuration or its dictionary; `vision`, `audio`, `router` and `text` are the
    configurations, with their types.
    """

    model_type = "humanomni"
    sub_configs: ClassVar = _PARTS  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]

    vision_config: dict | PreTrainedConfig | None = None
    """The SigLIP vision tower as published, its unused last layer counted in `num_hidden_layers`."""
    audio_config: dict | PreTrainedConfig | None = None
    """The Whisper model whose encoder is the audio tower."""
    router_config: dict | PreTrainedConfig | None = None
    """The BERT that reads the question and weighs the three visual branches."""
    text_config: dict | PreTrainedConfig | None = None
    """The Qwen2 language model."""
    projector_type: str = "all_in_one_small"
    """`all_in_one_small` (2 blocks a stage, even patch grids) or `all_in_one` (4 blocks, odd grids)."""
    num_frames: int = 8
    """Frames sampled from a clip."""
    vision_feature_layer: int = -2
    """Which hidden state of the vision tower is read; layers after it are not built."""
    gate_hidden_size: int = 3584
    """Width of the gate's hidden layer: the 7B model's, at every published size."""
    audio_pool: int = 3
    """Encoder time steps averaged into one audio token."""
    video_pooling: str = "none"
    """`none`: the language model reads every fused video token, as in R1-Omni; `slow_fast`: all frames 2x2-mean-pooled,
    then every fourth frame in full, as in HumanOmni's own 7B model."""
    image_token_id: int = -200
    """Placeholder id of a still image's tokens; not in the vocabulary."""
    video_token_id: int = -201
    """Placeholder id of a video's tokens; not in the vocabulary."""
    audio_token_id: int = -202
    """Placeholder id of audio tokens; not in the vocabulary."""
    aspect: str = "pad"
    """`pad`: frames are centred on a grey square, as the published models were trained; `stretch`: resized as they are,
    as the official inference script does."""
    label_temperature: float = 1.0
    """What label scores are divided by before they become probabilities, above 0: fitted to labelled clips by
    `r1omni checkpoint calibrate`. Answers and training do not depend on it."""
    label_lapse_rate: float = 0.0
    """How often the scores are taken to say nothing of the label, in [0, 1): fitted with `label_temperature`."""
    tie_word_embeddings: bool = False
    """Follows `text_config`."""
    initializer_range: float = 0.02
    """Standard deviation of newly initialised embeddings."""

    def __post_init__(self, **kwargs: object) -> None:
        """Build the four parts from dictionaries and check that they fit together."""
        for name, kind in _PARTS.items():
            part = getattr(self, name)
            if part is None or isinstance(part, dict):
                setattr(self, name, kind(**{k: v for k, v in (part or {}).items() if k != "model_type"}))
        self.tie_word_embeddings = bool(self.text.tie_word_embeddings)
        super().__post_init__(**kwargs)
        if self.projector_type not in ("all_in_one_small", "all_in_one"):
            raise ValueError(f"projector_type is {self.projector_type!r}; expected all_in_one_small or all_in_one.")
        if self.aspect not in ("pad", "stretch"):
            raise ValueError(f"aspect is {self.aspect!r}; expected pad or stretch.")
        if self.video_pooling not in ("none", "slow_fast"):
            raise ValueError(f"video_pooling is {self.video_pooling!r}; expected none or slow_fast.")
        problem = calibration_problem(self.label_temperature, self.label_lapse_rate)
        if problem is not None:
            raise ValueError(f"{problem}.")
        small = self.projector_type == "all_in_one_small"
        if (self.grid_patches % 2 == 0) != small:
            raise ValueError(
                f"{self.projector_type} needs an {'even' if small else 'odd'} patch grid; image_size "
                f"{self.vision.image_size} with patch_size {self.vision.patch_size} gives "
                f"{self.grid_patches}. Use projector_type {'all_in_one' if small else 'all_in_one_small'}."
            )

    @property
    def vision(self) -> SiglipVisionConfig:
        """The vision tower's sizes."""
        return _typed(self.vision_config, SiglipVisionConfig)

    @property
    def audio(self) -> WhisperConfig:
        """The audio tower's sizes; its decoder is not built."""
        return _typed(self.audio_config, WhisperConfig)

    @property
    def router(self) -> BertConfig:
        """The router's sizes."""
        return _typed(self.router_config, BertConfig)

    @property
    def text(self) -> Qwen2Config:
        """The language model's sizes."""
        return _typed(self.text_config, Qwen2Config)

    @property
    def grid_patches(self) -> int:
        """Patches along one side of a frame."""
        return _side(self.vision.image_size) // _side(self.vision.patch_size)

    @property
    def num_vision_layers(self) -> int:
        """Vision layers that are evaluated: those up to the hidden state that is read."""
        return self.vision.num_hidden_layers + 1 + self.vision_feature_layer

    @property
    def video_tokens_per_frame(self) -> int:
        """Video tokens the projector makes of one frame, before any pooling over a clip."""
        return ((self.grid_patches + 1) // 2) ** 2

    def num_video_tokens(self, num_frames: int) -> int:
        """Return how many tokens the language model reads for the pictures of a clip.

        Args:
            num_frames: frames of the clip; 1 is a still image, 0 a clip without pictures.
        """
        return num_video_tokens(num_frames, self.video_tokens_per_frame, self.video_pooling)

    @property
    def audio_tokens(self) -> int:
        """Tokens the language model reads for the sound of a clip, whatever its length."""
        return self.audio.max_source_positions // self.audio_pool


def _typed(part: dict | PreTrainedConfig | None, kind: type[_Part]) -> _Part:
    """Narrow a part to its type; other types can only have been assigned after construction."""
    if not isinstance(part, kind):
        raise TypeError(f"found a {type(part).__name__}; expected a {kind.__name__}: set the part to one.")
    return part


def _side(size_px: int | list[int] | tuple[int, int]) -> int:
    """Return the side of a square size, which SigLIP's configuration may hold as (rows, cols)."""
    if isinstance(size_px, int):
        return size_px
    rows, cols = size_px
    if rows != cols:
        raise ValueError(f"found a picture or patch of {rows} x {cols} pixels; expected a square.")
    return rows


def full_frames(num_frames: int) -> list[int]:
    """Return the zero-based indices of the frames that `slow_fast` keeps in full: 1, 5, 9, ...; 0 of a single frame.

    Args:
        num_frames: frames of the clip.
    """
    return list(range(1, num_frames, 4)) or list(range(num_frames))


def num_video_tokens(num_frames: int, tokens_per_frame: int, pooling: str) -> int:
    """Return how many tokens the language model reads for the pictures of a clip.

    Under `slow_fast` the last row and column of an odd token grid do not enter the 2x2 means.

    Args:
        num_frames: frames of the clip; 1 is a still image, 0 a clip without pictures.
        tokens_per_frame: tokens the projector makes of one frame, a square number.
        pooling: see `HumanOmniConfig.video_pooling`.
    """
    if pooling == "none":
        return num_frames * tokens_per_frame
    pooled_per_frame = (isqrt(tokens_per_frame) // 2) ** 2
    return num_frames * pooled_per_frame + len(full_frames(num_frames)) * tokens_per_frame


AutoConfig.register(HumanOmniConfig.model_type, HumanOmniConfig)
