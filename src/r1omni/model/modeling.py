"""HumanOmni: two frozen towers, a projector weighted by a router, and a Qwen2 language model.

The SigLIP tower encodes pictures, the Whisper encoder sound, the BERT router the bare question; the resulting tokens
replace the placeholders that the processor put in the prompt. A clip has tokens only for the modalities it has. Parts
that the official code evaluates but does not use are not built: the last vision layer and norm, the pooling heads,
Whisper's classifier.
"""

from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMultimodalLM,
    BertModel,
    Cache,
    GenerationMixin,
    LogitsProcessorList,
    PreTrainedModel,
    Qwen2Model,
    RepetitionPenaltyLogitsProcessor,
    SiglipVisionConfig,
)
from transformers import initialization as init
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.models.siglip.modeling_siglip import (
    SiglipEncoderLayer,
    SiglipPreTrainedModel,
    SiglipVisionEmbeddings,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from r1omni.model.configuration import HumanOmniConfig
from r1omni.model.projector import Projector, slow_fast
from r1omni.runs.file_hashes import FileStamp

MAX_ROUTER_TOKENS = 512
"""Maximum length of the router's input; longer questions are cut."""
CACHE = "cache" if "cache" in signature(Qwen2Model.forward).parameters else "past_key_values"
"""What transformers calls the keys and values of a prompt: `cache` from 5.24 on."""


class VisionTower(SiglipPreTrainedModel):
    """SigLIP up to the hidden state that is read; no final norm, no pooling head."""

    def __init__(self, config: SiglipVisionConfig, num_layers: int) -> None:
        super().__init__(config)
        self.embeddings = SiglipVisionEmbeddings(config)
        self.layers = nn.ModuleList([SiglipEncoderLayer(config) for _ in range(num_layers)])
        self.post_init()

    def forward(self, pixel_values: Float[Tensor, "images 3 rows cols"]) -> Float[Tensor, "images patches width"]:
        """Return a feature per patch."""
        hidden = self.embeddings(pixel_values)
        for layer in self.layers:
            hidden = layer(hidden, attention_mask=None)
        return hidden


class HumanOmniForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """The whole model.

    The towers and the router stay in evaluation mode under `train()`, so two passes over one batch agree; the towers'
    parameters start frozen (`requires_grad` False).
    """

    config_class = HumanOmniConfig
    base_model_prefix = "humanomni"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _no_split_modules = ["SiglipEncoderLayer", "WhisperEncoderLayer", "BertLayer", "Qwen2DecoderLayer", "Projector"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    weights_files: tuple[FileStamp, ...] = ()
    """Files the weights were loaded from, as they were just before, set by `load_model`; empty for a model made in
    memory. The weights may have changed since."""
    _tied_weights_keys = {"lm_head.weight": "language_model.embed_tokens.weight"}  # noqa: RUF012

    def __init__(self, config: HumanOmniConfig) -> None:
        super().__init__(config)
        text, audio, router = config.text, config.audio, config.router
        self.vision_tower = VisionTower(config.vision, config.num_vision_layers)
        self.audio_tower = WhisperEncoder(audio)
        self.router = BertModel(router, add_pooling_layer=False)
        self.gate = nn.Sequential(
            nn.Linear(router.hidden_size, config.gate_hidden_size), nn.GELU(), nn.Linear(config.gate_hidden_size, 3)
        )
        self.projector = Projector(config)
        self.audio_projector = nn.Sequential(
            nn.Linear(audio.d_model, text.hidden_size), nn.GELU(), nn.Linear(text.hidden_size, text.hidden_size)
        )
        self.language_model = Qwen2Model(text)
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)
        self.post_init()
        self._freeze_towers()

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Load a folder or hub id that `save_pretrained` wrote, towers frozen; see transformers for the arguments."""
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        model._freeze_towers()
        return loaded

    def _freeze_towers(self) -> None:
        self.vision_tower.requires_grad_(False)
        self.audio_tower.requires_grad_(False)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.Conv3d)):
            init.lecun_normal_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)

    def train(self, mode: bool = True) -> "HumanOmniForConditionalGeneration":
        """Set the mode of the parts that train; the towers and the router always stay in evaluation mode."""
        super().train(mode)
        for part in (self.vision_tower, self.audio_tower, self.router):
            part.train(False)
        return self

    def get_input_embeddings(self) -> nn.Module:
        """Return the language model's embedding table."""
        return self.language_model.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the language model's embedding table."""
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """Return the head."""
        return self.lm_head

    def encode_video(
        self, pixel_values: Float[Tensor, "batch frames 3 rows cols"]
    ) -> Float[Tensor, "batch frames patches width"]:
        """Return the vision features of clips with equally many frames.

        Gradients flow only if a parameter of the tower requires them.

        Args:
            pixel_values: normalised pictures.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and _trains(self.vision_tower)):
            features = self.vision_tower(pixel_values.flatten(0, 1))
        return features.unflatten(0, pixel_values.shape[:2])

    def encode_audio(self, input_features: Float[Tensor, "batch mels steps"]) -> Float[Tensor, "batch tokens width"]:
        """Return the audio features, averaged over `audio_pool` time steps; gradients as in `encode_video`.

        Args:
            input_features: log-mel features of exactly the tower's length.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and _trains(self.audio_tower)):
            features = self.audio_tower(input_features.to(self.audio_tower.conv1.weight.dtype)).last_hidden_state
            steps = self.config.audio_tokens * self.config.audio_pool
            return features[:, :steps].unflatten(1, (-1, self.config.audio_pool)).mean(2)

    def branch_weights(
        self, router_input_ids: Int[Tensor, "batch words"], router_attention_mask: Int[Tensor, "batch words"]
    ) -> Float[Tensor, "batch 3"]:
        """Return the weights of the video, body and face branches for each question.

        Equal questions are encoded once.

        Args:
            router_input_ids: the router's token ids of the bare questions.
            router_attention_mask: 1 for tokens, 0 for padding.
        """
        both = torch.stack([router_input_ids, router_attention_mask.to(router_input_ids.dtype)], dim=1)
        rows, inverse = torch.unique(both, dim=0, return_inverse=True)
        ids, mask = rows[:, 0, :MAX_ROUTER_TOKENS], rows[:, 1, :MAX_ROUTER_TOKENS]
        with torch.set_grad_enabled(torch.is_grad_enabled() and _trains(self.router)):
            words = self.router(input_ids=ids, attention_mask=mask).last_hidden_state
        return self.gate(words[:, 0]).softmax(-1)[inverse]

    def embed_prompt(
        self,
        input_ids: Int[Tensor, "batch tokens"],
        attention_mask: Shaped[Tensor, "batch _tokens"] | None,
        router_input_ids: Int[Tensor, "batch words"] | None,
        router_attention_mask: Int[Tensor, "batch words"] | None,
        video_features: Sequence[Float[Tensor, "_frames patches _width"] | None] | None = None,
        audio_features: Sequence[Float[Tensor, "_tokens _width"] | None] | None = None,
    ) -> Float[Tensor, "batch tokens hidden"]:
        """Return the language model's input: embedded text, with placeholders replaced by the clips' tokens.

        Args:
            input_ids: prompts with every media token already a placeholder.
            attention_mask: unused; accepted so that a batch can be passed as it is.
            router_input_ids: the bare questions for the router; needed with video.
            router_attention_mask: 1 for router tokens, 0 for padding.
            video_features: per prompt [frames, patches, width], or None without video.
            audio_features: per prompt [tokens, width], or None without audio.

        Raises:
            ValueError: a prompt's placeholders and its features do not match.
        """
        embeds = self.get_input_embeddings()(input_ids.clamp(min=0))
        config = self.config
        is_video = (input_ids == config.video_token_id) | (input_ids == config.image_token_id)
        is_audio = input_ids == config.audio_token_id
        videos = video_features if video_features is not None else [None] * len(input_ids)
        audios = audio_features if audio_features is not None else [None] * len(input_ids)
        _check_counts("video", is_video, [0 if v is None else config.num_video_tokens(len(v)) for v in videos])
        _check_counts("audio", is_audio, [0 if a is None else len(a) for a in audios])
        tokens = self._video_tokens(videos, router_input_ids, router_attention_mask)
        if tokens is not None:
            embeds = embeds.masked_scatter(is_video[..., None], tokens.to(embeds))
        heard = [a for a in audios if a is not None]
        if heard:
            tokens = self.audio_projector(_cast_for(self.audio_projector, torch.cat(heard)))
            embeds = embeds.masked_scatter(is_audio[..., None], tokens.to(embeds))
        return embeds

    def _video_tokens(
        self,
        videos: Sequence[Float[Tensor, "_frames patches width"] | None],
        router_input_ids: Int[Tensor, "batch words"] | None,
        router_attention_mask: Int[Tensor, "batch words"] | None,
    ) -> Float[Tensor, "tokens hidden"] | None:
        """Return the video tokens of all prompts in one row; clips of equal length are projected together."""
        seen = [video for video in videos if video is not None]
        if not seen:
            return None
        if router_input_ids is None:
            raise ValueError("router_input_ids is missing; a prompt with video needs its question for the router.")
        if router_attention_mask is None:
            router_attention_mask = torch.ones_like(router_input_ids)
        rows = [row for row, video in enumerate(videos) if video is not None]
        gate = self.branch_weights(router_input_ids[rows], router_attention_mask[rows])
        tokens: dict[int, Tensor] = {}
        for frames in sorted({len(video) for video in seen}):
            places = [place for place, video in enumerate(seen) if len(video) == frames]
            stacked = _cast_for(self.projector, torch.stack([seen[place] for place in places]))
            fused = self.projector(stacked, gate[places])
            if self.config.video_pooling == "slow_fast":
                fused = slow_fast(fused, frames)
            tokens.update(zip(places, fused, strict=True))
        return torch.cat([tokens[place] for place in range(len(seen))])

    def embed_media(
        self,
        input_ids: Int[Tensor, "batch tokens"],
        attention_mask: Shaped[Tensor, "batch _tokens"] | None = None,
        pixel_values: Float[Tensor, "clips frames 3 rows cols"] | Sequence[Tensor] | None = None,
        input_features: Float[Tensor, "_clips mels steps"] | None = None,
        router_input_ids: Int[Tensor, "batch words"] | None = None,
        router_attention_mask: Int[Tensor, "batch words"] | None = None,
    ) -> Float[Tensor, "batch tokens hidden"]:
        """Return `embed_prompt` of a batch as the processor makes it, running the towers.

        Args:
            input_ids: prompts with placeholders.
            attention_mask: 1 for tokens, 0 for padding.
            pixel_values: [clips with video, frames, 3, rows, cols]; a list of clips where their lengths differ.
            input_features: [clips with audio, mels, steps].
            router_input_ids: the bare questions for the router.
            router_attention_mask: 1 for router tokens, 0 for padding.
        """
        config = self.config
        has_video = ((input_ids == config.video_token_id) | (input_ids == config.image_token_id)).any(1).tolist()
        has_audio = (input_ids == config.audio_token_id).any(1).tolist()
        videos: list[Tensor] = []
        if isinstance(pixel_values, Tensor):
            videos = list(self.encode_video(pixel_values))
        elif pixel_values is not None:
            videos = [self.encode_video(clip[None])[0] for clip in pixel_values]
        audios = list(self.encode_audio(input_features)) if input_features is not None else []
        return self.embed_prompt(
            input_ids,
            attention_mask,
            router_input_ids,
            router_attention_mask,
            _spread(videos, has_video, "video"),
            _spread(audios, has_audio, "audio"),
        )

    def forward(
        self,
        input_ids: Int[Tensor, "batch tokens"] | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Int[Tensor, "_batch tokens"] | None = None,
        past_key_values: Cache | None = None,
        cache: Cache | None = None,
        inputs_embeds: Float[Tensor, "batch tokens hidden"] | None = None,
        labels: Int[Tensor, "batch tokens"] | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Int[Tensor, " kept"] = 0,
        pixel_values: Float[Tensor, "clips frames 3 rows cols"] | Sequence[Tensor] | None = None,
        input_features: Float[Tensor, "_clips mels steps"] | None = None,
        router_input_ids: Int[Tensor, "batch words"] | None = None,
        router_attention_mask: Int[Tensor, "batch words"] | None = None,
        **kwargs: object,
    ) -> CausalLMOutputWithPast:
        """Run the model over prompts, or over the output of `embed_prompt`.

        Positions count the tokens the mask keeps, so padding on either side changes nothing.

        Args:
            input_ids: token ids, with placeholders if the clips are given.
            attention_mask: 1 for tokens, cached ones included, 0 for padding.
            position_ids: positions; None derives them from the mask.
            past_key_values: the cache, as transformers names it until 5.23.
            cache: the same, as transformers names it from 5.24 on.
            inputs_embeds: what `embed_prompt` returns, instead of ids and clips.
            labels: gold ids, -100 for positions without one. Returns the mean cross-entropy of the next token and no
                logits: the head is applied to those positions only.
            use_cache: whether to fill the cache.
            logits_to_keep: number of last positions with logits; 0 keeps all.
            pixel_values: see `embed_media`.
            input_features: see `embed_media`.
            router_input_ids: see `embed_media`.
            router_attention_mask: see `embed_media`.
            **kwargs: for the language model.
        """
        if inputs_embeds is None:
            if input_ids is None:
                raise ValueError("Neither input_ids nor inputs_embeds is given; give one.")
            inputs_embeds = self.embed_media(
                input_ids, attention_mask, pixel_values, input_features, router_input_ids, router_attention_mask
            )
        if position_ids is None and attention_mask is not None and attention_mask.dim() == 2:
            position_ids = (attention_mask.long().cumsum(1) - 1).clamp(min=0)[:, -inputs_embeds.shape[1] :]
        outputs = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=use_cache,
            **{CACHE: past_key_values if cache is None else cache},
            **kwargs,
        )
        hidden = outputs.last_hidden_state
        loss, logits = None, None
        if labels is not None:
            counted = labels[:, 1:] != -100
            gold = labels[:, 1:][counted]
            loss = functional.cross_entropy(self.lm_head(hidden[:, :-1][counted]).float(), gold)
        else:
            kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
            logits = self.lm_head(hidden[:, kept])
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            **{CACHE: outputs[CACHE] if CACHE in outputs else None},
        )

    @torch.no_grad()
    def generate(self, input_ids: Tensor | None = None, **kwargs: Any) -> Any:  # pyright: ignore
        """Generate answers; only new tokens are returned, and penalties see only those.

        Args:
            input_ids: prompts with placeholders, or pass `inputs_embeds`.
            **kwargs: the rest of the processor's batch, and arguments of transformers' `generate`.
        """
        # transformers removes a row's left padding from its penalty's tokens; without prompt ids those are new ones
        defaults = kwargs.get("generation_config") or self.generation_config
        penalty = kwargs.pop("repetition_penalty", None) or defaults.repetition_penalty or 1.0
        if penalty != 1.0:
            processors = [*kwargs.pop("logits_processor", []), RepetitionPenaltyLogitsProcessor(penalty)]
            kwargs |= {"repetition_penalty": 1.0, "logits_processor": LogitsProcessorList(processors)}
        media = ("pixel_values", "input_features", "router_input_ids", "router_attention_mask")
        given = {name: kwargs.pop(name, None) for name in media}
        if input_ids is not None:
            kwargs["inputs_embeds"] = self.embed_media(input_ids, kwargs.get("attention_mask"), **given)
        return super().generate(**kwargs)  # pyright: ignore[reportAttributeAccessIssue]


def _cast_for(part: nn.Module, features: Tensor) -> Tensor:
    """Move features to the device and the number format of the part that reads them."""
    weight = next(part.parameters())
    return features.to(weight.device, weight.dtype)


def _trains(part: nn.Module) -> bool:
    return any(p.requires_grad for p in part.parameters())


def _spread(features: Sequence[Tensor], present: Sequence[bool], kind: str) -> list[Tensor | None]:
    """Give each prompt that has placeholders its features, in order."""
    if len(features) != sum(present):
        raise ValueError(
            f"{len(features)} clips with {kind} were given, but {sum(present)} prompts have {kind} placeholders."
        )
    left = iter(features)
    return [next(left) if here else None for here in present]


def _check_counts(kind: str, mask: Tensor, expected: list[int]) -> None:
    if (found := mask.sum(1).tolist()) != expected:
        raise ValueError(
            f"The prompts hold {found} {kind} placeholders, but their features make {expected} {kind} tokens. Build "
            "prompts and features with the same processor and model."
        )


AutoModel.register(HumanOmniConfig, HumanOmniForConditionalGeneration)
AutoModelForCausalLM.register(HumanOmniConfig, HumanOmniForConditionalGeneration)
AutoModelForMultimodalLM.register(HumanOmniConfig, HumanOmniForConditionalGeneration)
