"""The processor of a published checkpoint: its tokenizer, the router's vocabulary, the vision tower's settings."""

from pathlib import Path

from transformers import BertTokenizer, Qwen2Tokenizer, SiglipImageProcessorPil

from r1omni.core.errors import CheckpointError
from r1omni.model.official import OfficialCheckpoint
from r1omni.model.processing import HumanOmniProcessor
from r1omni.model.published_towers import DEFAULT_ROUTER
from r1omni.model.weights import FETCH, is_pointer

_VOCABULARY = ("tokenizer.json", "vocab.json")
_ROUTER_VOCABULARY = ("tokenizer.json", "vocab.txt")


def tokenizer_problems(checkpoint: OfficialCheckpoint) -> list[str]:
    """Return which tokenizers' files are missing or Git LFS pointers, one sentence each.

    Args:
        checkpoint: what `read_official` returned.
    """
    folder, router = checkpoint.folder, checkpoint.router_folder
    problems = []
    if not any((folder / name).is_file() for name in _VOCABULARY):
        problems.append(
            f"{folder} holds no tokenizer; expected tokenizer.json, or vocab.json with merges.txt. Download them too."
        )
    if router is None:
        problems.append(
            "The router's vocabulary is missing: published checkpoints do not hold it. Name the folder or hub id of "
            f"bert-base-uncased with --router, or make one complete folder: `r1omni checkpoint convert {folder} --out "
            f"MODEL --router {DEFAULT_ROUTER}`."
        )
    elif not any((router / name).is_file() for name in _ROUTER_VOCABULARY):
        problems.append(f"{router} holds no vocab.txt; the router needs one. Name another: --router.")
    problems += [_pointer(path) for path in _files(folder, _VOCABULARY) if is_pointer(path)]
    problems += [_pointer(path) for path in _files(router, _ROUTER_VOCABULARY) if is_pointer(path)]
    return problems


def official_processor(checkpoint: OfficialCheckpoint) -> HumanOmniProcessor:
    """Build the processor of a published checkpoint.

    Args:
        checkpoint: what `read_official` returned.

    Raises:
        CheckpointError: a tokenizer's files are missing, damaged, or of another release.
    """
    folder, router = checkpoint.folder, checkpoint.router_folder
    problems = tokenizer_problems(checkpoint)
    if problems or router is None:
        raise CheckpointError(problems[0])
    try:
        tokenizer = Qwen2Tokenizer.from_pretrained(folder)
    except Exception as error:  # noqa: BLE001 - the tokenizers library raises bare exceptions on a damaged file
        raise CheckpointError(
            f"The tokenizer in {folder} cannot be read: {error}. Download its files again."
        ) from error
    if tokenizer.chat_template is None:
        raise CheckpointError(
            f"The tokenizer in {folder} has no chat template; expected one in tokenizer_config.json or "
            "chat_template.jinja. Copy it from the Qwen2.5 release the checkpoint was trained from."
        )
    rows = checkpoint.config.text.vocab_size
    if len(tokenizer) > rows:
        raise CheckpointError(
            f"The tokenizer in {folder} has {len(tokenizer)} tokens, but model.embed_tokens.weight only {rows} rows. "
            "Take tokenizer and weights from one release."
        )
    try:
        router_tokenizer = BertTokenizer.from_pretrained(router)
    except Exception as error:  # noqa: BLE001 - likewise
        raise CheckpointError(
            f"The router's vocabulary in {router} cannot be read: {error}. Name another: --router."
        ) from error
    rows = checkpoint.config.router.vocab_size
    if len(router_tokenizer) > rows:
        raise CheckpointError(
            f"The router's vocabulary in {router} has {len(router_tokenizer)} words, but the router only {rows} rows. "
            "Name the one it was trained with: --router."
        )
    processor = HumanOmniProcessor.from_config(checkpoint.config, tokenizer, router_tokenizer)
    vision = checkpoint.vision_folder
    if vision is not None and (vision / "preprocessor_config.json").is_file():
        processor.image_processor = SiglipImageProcessorPil.from_pretrained(vision)
    return processor


def _files(folder: Path | None, names: tuple[str, ...]) -> list[Path]:
    return [] if folder is None else [folder / name for name in names if (folder / name).is_file()]


def _pointer(path: Path) -> str:
    return f"{path} is a Git LFS pointer, not the file itself. {FETCH}"
