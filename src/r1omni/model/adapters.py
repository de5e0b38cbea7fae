"""The model beneath adapters: what peft wraps around a model to train low-rank matrices beside its weights.

The adapters live inside the layers of the model itself, so the model beneath computes with them; only saving and
loading adapters needs the wrapper.
"""

from torch import nn

from r1omni.model.modeling import HumanOmniForConditionalGeneration


def beneath_adapters(model: nn.Module) -> HumanOmniForConditionalGeneration:
    """Return the model that computes.

    Args:
        model: HumanOmni, or peft's wrapper around it.

    Raises:
        TypeError: it is neither.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model  # pyright: ignore[reportCallIssue]
    if not isinstance(base, HumanOmniForConditionalGeneration):
        raise TypeError(f"Found a {type(model).__name__}; expected HumanOmni, or peft's wrapper around it.")
    return base
