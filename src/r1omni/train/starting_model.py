"""The model that a run starts from: loaded in fp32 for the optimiser, with adapters where they are asked for."""

from r1omni.config.sections import LoraSection, VideoPooling
from r1omni.model.adapters import TrainedModel, add_adapters
from r1omni.model.load_model import load_model
from r1omni.model.processing import HumanOmniProcessor


def load_starting_model(
    source: str, lora: LoraSection | None = None, video_pooling: VideoPooling | None = None
) -> tuple[TrainedModel, HumanOmniProcessor]:
    """Load the model to train onto this process's device, and its processor.

    Args:
        source: a folder or a hub id.
        lora: the adapters; None trains the parts themselves.
        video_pooling: how a clip's video tokens are pooled; None takes the checkpoint's own.

    Raises:
        CheckpointError: there is no such checkpoint, or it cannot be loaded.
        ConfigError: adapters are asked for, and peft is not installed.
    """
    model, processor = load_model(source, dtype="float32", device="auto", video_pooling=video_pooling)
    return (model if lora is None else add_adapters(model, lora)), processor
