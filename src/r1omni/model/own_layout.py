"""Our own layout: one self-contained folder, as `save_model`, training and `checkpoint convert` write it.

    config.json             sizes of every part
    model.safetensors       weights, or shards and their index
    processor_config.json   settings of the picture and sound processors
    tokenizer.json, tokenizer_config.json, chat_template.jinja      the language model's tokenizer
    router_tokenizer/tokenizer.json, .../tokenizer_config.json      the router's

Everything that a folder needs is checked here, for loading and for inspecting.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError

from r1omni.core.errors import CheckpointError
from r1omni.model.checkpoint_folder import PROCESSOR
from r1omni.model.configuration import HumanOmniConfig
from r1omni.model.official import belonging_to_no_part, expected_shapes, part_of
from r1omni.model.processing import HumanOmniProcessor
from r1omni.model.weights import Stored, is_pointer, read_inventory, read_json

ROUTER_TOKENIZER = "router_tokenizer"
_NEEDED = (
    ((PROCESSOR,), "the settings of the picture and sound processors"),
    (("tokenizer.json", "vocab.json"), "the language model's tokenizer"),
    (("tokenizer_config.json",), "its control tokens"),
    ((f"{ROUTER_TOKENIZER}/tokenizer.json", f"{ROUTER_TOKENIZER}/vocab.txt"), "the router's tokenizer"),
    ((f"{ROUTER_TOKENIZER}/tokenizer_config.json",), "its settings"),
)
"""Alternatives, of which one must exist, and their purpose."""
_TEMPLATE = (("chat_template.jinja",), "how a conversation becomes a prompt")
"""Likewise, unless tokenizer_config.json holds the template, as older releases do."""
_RESTORE = "Copy the whole folder again; `r1omni train` and `r1omni checkpoint convert` write all of it."


def read_own(folder: Path, raw: dict[str, Any]) -> tuple[HumanOmniConfig, dict[str, Stored], list[Stored], list[str]]:
    """Read a folder's settings and headers and check that it is complete.

    Args:
        folder: the folder.
        raw: its config.json.

    Returns:
        The configuration; the tensor that fills each parameter; tensors that nothing reads; and what keeps it from
        loading, a sentence each.

    Raises:
        CheckpointError: the configuration or the weights cannot be read at all.
    """
    try:
        config = HumanOmniConfig.from_dict(raw)
        expected = expected_shapes(config)
    except (ValueError, TypeError, ArithmeticError, AttributeError, RuntimeError, StrictDataclassError) as error:
        raise CheckpointError(f"{folder / 'config.json'} describes no model: {error}. {_RESTORE}") from error
    inventory = read_inventory(folder)
    sources = {name: stored for name, stored in inventory.items() if name in expected}
    unread = [stored for name, stored in inventory.items() if name not in expected]
    if config.tie_word_embeddings:
        odd = [stored for name, stored in inventory.items() if name not in expected and name != "lm_head.weight"]
    else:
        odd = unread
    absent = [*_absent_files(folder), *_absent_parts(sources, expected)]
    problems = [*_misfits(sources, expected, odd), *_lacking(folder, absent)]
    return config, sources, unread, problems


def read_own_processor(folder: Path, config: HumanOmniConfig) -> HumanOmniProcessor:
    """Load the processor of a folder that `read_own` found complete, and check that it fits the model.

    Args:
        folder: the folder.
        config: the model's.

    Raises:
        CheckpointError: a file is damaged, or the processor is another model's.
    """
    saved = read_json(folder / PROCESSOR, _NEEDED[0][1])
    absent = [part for part in ("image_processor", "feature_extractor") if not isinstance(saved.get(part), dict)]
    if absent:
        raise CheckpointError(f"{folder / PROCESSOR} lacks {' and '.join(absent)}. {_RESTORE}")
    for name in ("tokenizer_config.json", "tokenizer.json"):
        for place in (folder, folder / ROUTER_TOKENIZER):
            if name != "tokenizer.json" or (place / name).is_file():
                read_json(place / name, "part of a tokenizer")
    try:
        processor = HumanOmniProcessor.from_pretrained(folder)
    except Exception as error:  # noqa: BLE001 - the tokenizers library raises bare exceptions on a damaged file
        raise CheckpointError(f"The processor in {folder} cannot be read: {error}. {_RESTORE}") from error
    if problems := list(_disagreements(processor, config)):
        raise CheckpointError(
            f"The processor in {folder} is not this model's: {'; '.join(problems)}. Take config.json, weights, "
            f"{PROCESSOR} and both tokenizers from one folder."
        )
    return processor


def _absent_files(folder: Path) -> Iterator[str]:
    settings = folder / "tokenizer_config.json"
    holds_template = settings.is_file() and b"chat_template" in _bytes(settings)
    for names, purpose in _NEEDED if holds_template else (*_NEEDED, _TEMPLATE):
        found = next((folder / name for name in names if (folder / name).is_file()), None)
        if found is None:
            yield f"{names[0]} ({purpose})"
        elif is_pointer(found):
            yield f"{found.relative_to(folder)} ({purpose}; found a Git LFS pointer: `git lfs pull` fetches the file)"
        elif found.stat().st_size == 0:
            yield f"{found.relative_to(folder)} ({purpose}; found an empty file)"


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}). Make it readable.") from error


def _absent_parts(sources: dict[str, Stored], expected: dict[str, tuple[int, ...]]) -> Iterator[str]:
    parts: dict[str, list[str]] = {}
    for name in expected:
        parts.setdefault(part_of(name), []).append(name)
    for part, names in parts.items():
        absent = [name for name in names if name not in sources]
        if len(absent) == len(names):
            yield f"the {part} (all {len(names)} tensors)"
        elif absent:
            yield f"{len(absent)} of the {len(names)} tensors of the {part} (the first is {absent[0]})"


def _lacking(folder: Path, absent: Sequence[str]) -> Iterator[str]:
    if absent:
        listed = absent[0] if len(absent) == 1 else f"{', '.join(absent[:-1])} and {absent[-1]}"
        yield f"{folder} lacks {listed}. {_RESTORE}"


def _misfits(sources: dict[str, Stored], expected: dict[str, tuple[int, ...]], odd: Sequence[Stored]) -> Iterator[str]:
    misshapen = [name for name, stored in sources.items() if stored.shape != expected[name]]
    if misshapen:
        name, stored = misshapen[0], sources[misshapen[0]]
        more = f" {len(misshapen) - 1} more tensors do not fit either." if len(misshapen) > 1 else ""
        yield (
            f"{stored.key} in {stored.file} has shape {list(stored.shape)}; config.json asks for "
            f"{list(expected[name])}.{more} Take config.json and weights from one folder."
        )
    yield from belonging_to_no_part(odd, "Take config.json and weights from one folder.")


def _disagreements(processor: HumanOmniProcessor, config: HumanOmniConfig) -> Iterator[str]:
    height_px, width_px = processor.image_processor.size["height"], processor.image_processor.size["width"]
    side_px = config.vision.image_size
    if (height_px, width_px) != ((side_px, side_px) if isinstance(side_px, int) else tuple(side_px)):
        yield f"pictures become {height_px} x {width_px} pixels, config.json asks for {side_px}"
    pairs = {
        "video_tokens_per_frame": (processor.video_tokens_per_frame, config.video_tokens_per_frame),
        "audio_tokens": (processor.audio_tokens, config.audio_tokens),
        "image_token_id": (processor.image_token_id, config.image_token_id),
        "video_token_id": (processor.video_token_id, config.video_token_id),
        "audio_token_id": (processor.audio_token_id, config.audio_token_id),
        "mel bands": (processor.feature_extractor.feature_size, config.audio.num_mel_bins),
    }
    for name, (found, expected) in pairs.items():
        if found != expected:
            yield f"{name} is {found}, in config.json {expected}"
    for what, tokenizer, rows in (
        ("tokenizer", processor.tokenizer, config.text.vocab_size),
        ("router's tokenizer", processor.router_tokenizer, config.router.vocab_size),
    ):
        if not len(tokenizer) or len(tokenizer) > rows:
            yield f"the {what} has {len(tokenizer)} tokens for {rows} rows of weights"
    if processor.tokenizer.eos_token_id is None:
        yield "the tokenizer has no end-of-turn token"
