"""The model that evaluation asks, and how it asks."""

from typing import TYPE_CHECKING, Any

from r1omni.cli.progress import hide_loading_bars
from r1omni.config.sections import VideoPooling

if TYPE_CHECKING:
    pass


def load_for_use(source: str, video_pooling: VideoPooling | None = None) -> tuple[Any, Any]:
    """Load a model and its processor onto the best device, in the number format it computes best in.

    Args:
        source: a folder or a hub id.
        video_pooling: how a clip's video tokens are pooled; None takes the checkpoint's own.
    """
    import torch

    from r1omni.model.load_model import load_model

    hide_loading_bars()
    return load_model(source, device="cuda" if torch.cuda.is_available() else "cpu", video_pooling=video_pooling)
