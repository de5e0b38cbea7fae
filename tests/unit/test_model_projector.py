"""The projector against the plain convolutions it stands for."""

import pytest
import torch
from torch.nn import functional

from r1omni.model.configuration import HumanOmniConfig
from r1omni.model.projector import Bottleneck, CausalSampler, Projector


def _config(projector_type: str, image_px: int) -> HumanOmniConfig:
    return HumanOmniConfig(
        vision_config={"hidden_size": 12, "image_size": image_px, "patch_size": 4, "num_attention_heads": 2},
        text_config={"hidden_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 1},
        projector_type=projector_type,
    )


@pytest.mark.parametrize(("padding", "side"), [(0, 6), (0, 4), (1, 5), (1, 27)])
def test_sampler_is_the_causal_convolution_without_its_last_step(padding: int, side: int) -> None:
    torch.manual_seed(0)
    sampler = CausalSampler(8, spatial_padding=padding)
    x = torch.randn(2, 3, side, side, 8)
    plain = functional.conv3d(
        x.permute(0, 4, 1, 2, 3), sampler.weight, sampler.bias, stride=(1, 2, 2), padding=(1, padding, padding)
    )
    expected = functional.silu(plain)[:, :, :-1].permute(0, 2, 3, 4, 1)
    torch.testing.assert_close(sampler(x), expected, atol=1e-5, rtol=0)


def test_first_frame_sees_only_itself_and_no_frame_sees_the_next() -> None:
    torch.manual_seed(0)
    sampler = CausalSampler(4, spatial_padding=0)
    x = torch.randn(1, 3, 4, 4, 4)
    changed = x.clone()
    changed[:, 2] += 1.0
    before, after = sampler(x), sampler(changed)
    assert torch.equal(before[:, :2], after[:, :2])
    assert not torch.equal(before[:, 2], after[:, 2])
    torch.testing.assert_close(sampler(x[:, :1])[:, 0], before[:, 0])


def test_bottleneck_equals_the_block_written_with_convolutions() -> None:
    torch.manual_seed(0)
    block = Bottleneck(6, 10)
    x = torch.randn(2, 6, 5, 5)

    def norm(layer: torch.nn.LayerNorm, y: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(y.permute(0, 2, 3, 1), (10,), layer.weight, layer.bias, 1e-5).permute(0, 3, 1, 2)

    y = functional.silu(norm(block.conv1.bn, functional.conv2d(x, block.conv1.conv.weight)))
    y = functional.silu(norm(block.conv2.bn, functional.conv2d(y, block.conv2.conv.weight, padding=1, groups=10)))
    squeezed = functional.silu(block.se.fc1(y.mean((2, 3), keepdim=True)))
    assert squeezed.shape[1] == 2  # round(0.25 x 6 input channels)
    y = y * block.se.fc2(squeezed).sigmoid()
    y = norm(block.conv3.bn, functional.conv2d(y, block.conv3.conv.weight))
    shortcut = norm(block.downsample.bn, functional.conv2d(x, block.downsample.conv.weight))  # pyright: ignore
    expected = functional.silu(y + shortcut)
    torch.testing.assert_close(block(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("projector_type", "image_px", "side"), [("all_in_one_small", 24, 3), ("all_in_one", 20, 3)])
def test_face_branch_equals_pooling_after_both_layers(projector_type: str, image_px: int, side: int) -> None:
    torch.manual_seed(0)
    config = _config(projector_type, image_px)
    projector = Projector(config)
    features = torch.randn(2, 3, config.grid_patches**2, 12)
    whole = projector.face(features).reshape(6, config.grid_patches, config.grid_patches, 16).permute(0, 3, 1, 2)
    pooled = functional.interpolate(whole, size=(side, side), mode="bilinear", align_corners=False)
    expected = pooled.permute(0, 2, 3, 1).reshape(2, 3 * side * side, 16)
    torch.testing.assert_close(projector.pooled_face(features), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("projector_type", "image_px", "blocks"), [("all_in_one_small", 24, 2), ("all_in_one", 20, 4)])
def test_tokens_are_the_branches_weighed_by_the_gate(projector_type: str, image_px: int, blocks: int) -> None:
    torch.manual_seed(0)
    config = _config(projector_type, image_px)
    projector = Projector(config)
    assert len(projector.get_submodule("s1_video")) == blocks  # pyright: ignore
    features = torch.randn(1, 2, config.grid_patches**2, 12)
    parts = [projector.branch("video", features), projector.branch("body", features), projector.pooled_face(features)]
    tokens = projector(features, torch.tensor([[0.5, 0.3, 0.2]]))
    assert tokens.shape == (1, 2 * config.video_tokens_per_frame, 16)
    torch.testing.assert_close(tokens, 0.5 * parts[0] + 0.3 * parts[1] + 0.2 * parts[2])
