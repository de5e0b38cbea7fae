"""From vision features to video tokens: two spatio-temporal branches and one per patch, weighted by the gate.

The stages are RegNet bottlenecks (ratio 1, depthwise 3x3, squeeze-excite) with layer norms over channels. Everything is
computed channels last, where 1x1 convolutions are matrix products and the 2x2x2 convolution, whose spatial stride
equals its kernel, is one too; parameters keep their published names and shapes. Two things that the official code
evaluates are left out because they are unused: the last time step of the 2x2x2 convolution and the face branch before
pooling. `slow_fast` is the pooling of fused tokens in HumanOmni's own 7B model.
"""

from math import isqrt

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from r1omni.model.configuration import HumanOmniConfig, full_frames

BRANCHES = ("video", "body")


def _pointwise(
    conv: nn.Conv2d, x: Float[Tensor, "images rows cols in_channels"]
) -> Float[Tensor, "images rows cols channels"]:
    return functional.linear(x, conv.weight.flatten(1), conv.bias)


def _depthwise(
    conv: nn.Conv2d, x: Float[Tensor, "images rows cols channels"]
) -> Float[Tensor, "images rows cols channels"]:
    return conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class ConvNorm(nn.Module):
    """A bias-free convolution and the layer norm over channels that follows it, under the published names."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1) -> None:
        super().__init__()
        groups = out_channels if kernel_size > 1 else 1
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, padding=kernel_size // 2, groups=groups, bias=False
        )
        self.bn = nn.LayerNorm(out_channels, eps=1e-5)

    def forward(self, x: Float[Tensor, "images rows cols in_channels"]) -> Float[Tensor, "images rows cols channels"]:
        """Convolve and normalise."""
        mixed = _pointwise(self.conv, x) if self.conv.kernel_size == (1, 1) else _depthwise(self.conv, x)
        return self.bn(mixed)


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate computed from the mean over all pixels."""

    def __init__(self, channels: int, reduced_channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, reduced_channels, 1)
        self.fc2 = nn.Conv2d(reduced_channels, channels, 1)

    def forward(self, x: Float[Tensor, "images rows cols channels"]) -> Float[Tensor, "images rows cols channels"]:
        """Scale the channels."""
        squeezed = functional.silu(_pointwise(self.fc1, x.mean((1, 2), keepdim=True)))
        return x * _pointwise(self.fc2, squeezed).sigmoid()


class Bottleneck(nn.Module):
    """RegNet bottleneck: 1x1, depthwise 3x3, squeeze-excite, 1x1, and a shortcut."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(in_channels, out_channels)
        self.conv2 = ConvNorm(out_channels, out_channels, kernel_size=3)
        self.se = SqueezeExcite(out_channels, round(0.25 * in_channels))
        self.conv3 = ConvNorm(out_channels, out_channels)
        self.downsample = ConvNorm(in_channels, out_channels) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Float[Tensor, "images rows cols in_channels"]) -> Float[Tensor, "images rows cols channels"]:
        """Apply the block."""
        y = functional.silu(self.conv1(x))
        y = functional.silu(self.conv2(y))
        y = self.conv3(self.se(y))
        return functional.silu(y + self.downsample(x))


def _stage(in_channels: int, out_channels: int, depth: int) -> nn.Sequential:
    stage = nn.Sequential()
    for i in range(depth):
        stage.add_module(f"b{i + 1}", Bottleneck(in_channels if i == 0 else out_channels, out_channels))
    return stage


class CausalSampler(nn.Conv3d):
    """Halves rows and columns and mixes each frame with the one before it; frame 0 sees only itself."""

    def __init__(self, channels: int, spatial_padding: int) -> None:
        pad = (1, spatial_padding, spatial_padding)
        super().__init__(channels, channels, kernel_size=2, stride=(1, 2, 2), padding=pad)
        self.spatial_padding = spatial_padding

    def forward(
        self, input: Float[Tensor, "batch frames rows cols channels"]
    ) -> Float[Tensor, "batch frames half_rows half_cols channels"]:
        """Return as many frames as came in."""
        pad = self.spatial_padding
        x = functional.pad(input, (0, 0, pad, pad, pad, pad)) if pad else input
        batch, frames, rows, cols, channels = x.shape
        x = x[:, :, : rows // 2 * 2, : cols // 2 * 2]
        x = x.reshape(batch, frames, rows // 2, 2, cols // 2, 2, channels).permute(0, 1, 2, 4, 3, 5, 6).flatten(4)
        # weight [out, in, time, row, col] -> [time x out, row x col x in]
        mixed = functional.linear(x, self.weight.permute(2, 0, 3, 4, 1).reshape(2 * self.out_channels, -1))
        before, now = mixed.split(self.out_channels, dim=-1)
        mixed = now + functional.pad(before[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0))
        return functional.silu(mixed if self.bias is None else mixed + self.bias)


def _mlp(in_features: int, out_features: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(in_features, out_features), nn.GELU(), nn.Linear(out_features, out_features))


class Projector(nn.Module):
    """Three branches over the same vision features."""

    def __init__(self, config: HumanOmniConfig) -> None:
        super().__init__()
        vision, hidden = config.vision.hidden_size, config.text.hidden_size
        small = config.projector_type == "all_in_one_small"
        depth = 2 if small else 4
        self.grid = config.grid_patches
        for branch in BRANCHES:
            self.add_module(f"s1_{branch}", _stage(vision, hidden, depth))
            self.add_module(f"sampler_{branch}", CausalSampler(hidden, spatial_padding=0 if small else 1))
            self.add_module(f"s2_{branch}", _stage(hidden, hidden, depth))
            self.add_module(f"readout_{branch}", _mlp(hidden, hidden))
        self.face = _mlp(vision, hidden)

    def forward(
        self, features: Float[Tensor, "batch frames patches width"], gate: Float[Tensor, "batch 3"]
    ) -> Float[Tensor, "batch tokens hidden"]:
        """Return the video tokens in (time, row, column) order.

        Args:
            features: the vision tower's output for each patch.
            gate: the weights of the video, body and face branches; each row sums to 1.
        """
        video, body, face = gate[:, :, None, None].unbind(1)
        fused = video * self.branch("video", features) + body * self.branch("body", features)
        return fused + face * self.pooled_face(features)

    def branch(
        self, name: str, features: Float[Tensor, "batch frames patches width"]
    ) -> Float[Tensor, "batch tokens hidden"]:
        """Return one spatio-temporal branch's tokens.

        Args:
            name: video or body.
            features: the vision tower's output for each patch.
        """
        batch, frames = features.shape[:2]
        x = features.reshape(batch * frames, self.grid, self.grid, -1)
        x = self.get_submodule(f"s1_{name}")(x)
        x = self.get_submodule(f"sampler_{name}")(x.unflatten(0, (batch, frames)))
        x = self.get_submodule(f"s2_{name}")(x.flatten(0, 1))
        return self.get_submodule(f"readout_{name}")(x.reshape(batch, -1, x.shape[-1]))

    def pooled_face(
        self, features: Float[Tensor, "batch frames patches width"]
    ) -> Float[Tensor, "batch tokens hidden"]:
        """Return the face branch's tokens.

        Interpolation weights sum to 1, so the last linear layer is applied after pooling, on a quarter of the tokens.

        Args:
            features: the vision tower's output for each patch.
        """
        batch, frames = features.shape[:2]
        x = self.face[:2](features).reshape(batch * frames, self.grid, self.grid, -1).permute(0, 3, 1, 2)
        side = (self.grid + 1) // 2
        pooled = functional.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)
        return self.face[2](pooled.permute(0, 2, 3, 1).reshape(batch, frames * side * side, -1))


def slow_fast(tokens: Float[Tensor, "batch tokens hidden"], num_frames: int) -> Float[Tensor, "batch pooled hidden"]:
    """Return all frames pooled 2x2 by their mean, then the frames with indices 1, 5, 9, ... in full.

    A single frame is also given in full. The last row and column of an odd token grid do not enter the means.

    Args:
        tokens: fused video tokens in (time, row, column) order, a square grid per frame.
        num_frames: frames of each clip.

    Source:
        `SFDynamicCompressor` of HumanOmni; R1-Omni's code leaves it out.
    """
    batch, count, hidden = tokens.shape
    side = isqrt(count // num_frames)
    grid = tokens.reshape(batch * num_frames, side, side, hidden)
    even = side // 2 * 2
    pooled = grid[:, :even, :even].unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).mean((2, 4))
    full = grid.unflatten(0, (batch, num_frames))[:, full_frames(num_frames)]
    return torch.cat([pooled.reshape(batch, -1, hidden), full.reshape(batch, -1, hidden)], dim=1)
