"""The projector against the plain convolutions it stands for."""

import pytest
import torch
from torch.nn import functional

from r1omni.model.configuration import HumanOmniConfig, full_frames, num_video_tokens
from r1omni.model.projector import Bottleneck, CausalSampler, Projector, slow_fast


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
    torch.testing.assert_close(before[:, :2], after[:, :2], atol=1e-5, rtol=0)
    assert (before[:, 2] - after[:, 2]).abs().max() > 0.1
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


def test_slow_fast_pools_every_frame_and_keeps_frames_1_and_5_in_full() -> None:
    # Six frames of a 2x2 grid; frame t holds 10 t + (0, 1, 2, 7), with the mean 10 t + 2.5.
    tokens = torch.tensor([[10.0 * t + value] for t in range(6) for value in (0, 1, 2, 7)])[None]
    pooled = [2.5, 12.5, 22.5, 32.5, 42.5, 52.5]
    full = [10, 11, 12, 17, 50, 51, 52, 57]
    assert slow_fast(tokens, 6)[0, :, 0].tolist() == [*pooled, *full]


def test_slow_fast_of_a_still_image_keeps_its_only_frame_in_full() -> None:
    tokens = torch.tensor([1.0, 2.0, 3.0, 6.0])[None, :, None]
    assert slow_fast(tokens, 1)[0, :, 0].tolist() == [3.0, 1.0, 2.0, 3.0, 6.0]


def test_slow_fast_leaves_the_last_row_and_column_of_an_odd_grid_out_of_the_means() -> None:
    # A 3x3 grid 0..8: only (0, 1, 3, 4) forms a whole square, with the mean 2. Frame 1 is 9 higher.
    tokens = torch.arange(18.0)[None, :, None]
    assert slow_fast(tokens, 2)[0, :, 0].tolist() == [2.0, 11.0, *range(9, 18)]


def test_slow_fast_keeps_clips_and_channels_apart() -> None:
    tokens = torch.stack([torch.full((8, 2), 1.0), torch.tensor([[3.0, 5.0]]).expand(8, 2)])
    both = slow_fast(tokens, 2)
    assert both.shape == (2, 2 + 4, 2)
    assert torch.equal(both, torch.stack([torch.full((6, 2), 1.0), torch.tensor([[3.0, 5.0]]).expand(6, 2)]))


@pytest.mark.parametrize(
    ("num_frames", "side", "expected"),
    [
        (32, 14, 32 * 49 + 8 * 196),  # the 7B model: frames 1, 5, ..., 29 in full, 3136 tokens
        (8, 7, 8 * 9 + 2 * 49),  # the 0.5B model's odd token grid: 3x3 means
        (4, 2, 4 * 1 + 1 * 4),
        (1, 4, 4 + 16),
        (0, 4, 0),
    ],
)
def test_slow_fast_tokens_are_counted_as_they_are_generated(num_frames: int, side: int, expected: int) -> None:
    assert num_video_tokens(num_frames, side * side, "slow_fast") == expected
    assert num_video_tokens(num_frames, side * side, "none") == num_frames * side * side
    if num_frames:
        assert slow_fast(torch.zeros(1, num_frames * side * side, 3), num_frames).shape == (1, expected, 3)


def test_every_fourth_frame_from_the_second_is_kept_in_full() -> None:
    assert [full_frames(count) for count in (0, 1, 2, 5, 6, 10)] == [[], [0], [1], [1], [1, 5], [1, 5, 9]]
