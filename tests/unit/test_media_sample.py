import json
from pathlib import Path

import pytest

from r1omni.media.sample import sample_frame_indices

GOLDEN = Path(__file__).parents[1] / "golden" / "small" / "frame_sample.json"


def test_indices_are_the_centres_of_equal_segments():
    # (9 - 1) / 4 = 2 per segment, so the centres are 1, 3, 5, 7.
    assert sample_frame_indices(9, 4) == [1, 3, 5, 7]


def test_halves_round_up_because_of_the_small_offset():
    # (5 - 1) / 8 = 0.5 per segment: 0.25, 0.75, 1.25, ... and (3 - 1) / 2 = 1: 0.5 -> 1, 1.5 -> 2.
    assert sample_frame_indices(3, 2) == [1, 2]


def test_fewer_frames_than_wanted_repeat():
    assert sample_frame_indices(1, 3) == [0, 0, 0]
    # (2 - 1) / 4 = 0.25 per segment: 0.125, 0.375, 0.625, 0.875.
    assert sample_frame_indices(2, 4) == [0, 0, 1, 1]


@pytest.mark.parametrize(("num_available", "num_frames"), [(0, 8), (8, 0)])
def test_nothing_to_choose_from_is_an_error(num_available, num_frames):
    with pytest.raises(ValueError, match="at least 1"):
        sample_frame_indices(num_available, num_frames)


def test_indices_equal_the_official_ones():
    golden = json.loads(GOLDEN.read_text())
    eight = {int(key): indices for key, indices in golden.items() if key.isdigit()}
    assert len(eight) >= 7
    assert {n: sample_frame_indices(n, 8) for n in eight} == eight
    assert sample_frame_indices(97, 32) == golden["uniform_97_num_frames_32"]
