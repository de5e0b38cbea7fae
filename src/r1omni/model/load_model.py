"""Loading a model and its processor from a checkpoint of any layout."""

import os

import torch

from r1omni.model.configuration import VideoPooling
from r1omni.model.finite_weights import check_weights
from r1omni.model.modeling import HumanOmniForConditionalGeneration
from r1omni.model.precision import DtypeName, best_device, dtype_on
from r1omni.model.processing import HumanOmniProcessor
from r1omni.model.published_towers import Towers
from r1omni.model.read_checkpoint import read_checkpoint
from r1omni.runs.file_hashes import FileStamp


def load_model(
    path_or_id: str | os.PathLike[str],
    *,
    vision: str | None = None,
    audio: str | None = None,
    router: str | None = None,
    base: str | None = None,
    dtype: torch.dtype | DtypeName = "auto",
    device: str | torch.device = "cpu",
    video_pooling: VideoPooling | None = None,
    attn_implementation: str | None = None,
) -> tuple[HumanOmniForConditionalGeneration, HumanOmniProcessor]:
    """Load a model, in evaluation mode, and its processor from our own, a published or an adapter folder, or a hub id.

    Args:
        path_or_id: the folder or hub id. LoRA adapters are folded into the model they were trained on.
        vision: SigLIP folder or hub id, for a published checkpoint without its vision tower; None uses the default.
        audio: Whisper folder or hub id, likewise.
        router: BERT folder or hub id, likewise; its vocabulary is always needed.
        base: folder or hub id of the model that an adapter was trained on; None takes the recorded one.
        dtype: a torch dtype or its name; `auto` chooses the one that the device computes fastest in.
        device: the model's device; `auto` uses this process's GPU if there is one.
        video_pooling: see `HumanOmniConfig.video_pooling`; None uses the checkpoint's own, which for a published one
            is `slow_fast` if its folder or hub id is named HumanOmni-7B.
        attn_implementation: name of transformers' attention function; None uses its default.

    Raises:
        CheckpointError: the checkpoint cannot be loaded; the message names the key and the file, and how to fix it.
        ConfigError: `base` is given for a checkpoint that is not an adapter.
    """
    checkpoint = read_checkpoint(
        path_or_id, towers=Towers(vision, audio, router), base=base, video_pooling=video_pooling
    )
    checkpoint.raise_problems()
    checkpoint.note_pooling()
    place = best_device() if device == "auto" else torch.device(device)
    stamps = tuple(FileStamp.of(file) for file in checkpoint.weights_files)
    processor = checkpoint.processor()
    generation_config = checkpoint.generation_config(processor)
    state = dict(checkpoint.tensors(keeps_dtype=False))
    model = HumanOmniForConditionalGeneration.from_pretrained(
        None,
        config=checkpoint.config,
        state_dict=state,
        dtype=dtype_on(place, dtype),
        attn_implementation=attn_implementation,
    )
    model.name_or_path = model.config.name_or_path = os.fspath(path_or_id)
    model.generation_config = generation_config
    model.weights_files = stamps
    model = model.to(place).eval()
    check_weights(model, state, checkpoint.place_of)
    return model, processor
