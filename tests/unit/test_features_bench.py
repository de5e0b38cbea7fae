"""The measuring program of the feature cache."""

import pytest

from features import hit_rates, sizes


def test_passes_over_a_set_twice_and_three_times_as_large_as_the_cache():
    assert hit_rates(2.0, num_clips=20, passes=2) == [0.5, 0.5]
    assert hit_rates(3.0, num_clips=30, passes=1) == [pytest.approx(1 / 3)]


def test_the_papers_clips_in_twenty_gibibytes():
    # 0.5B: 8 x 196 x 768 + 500 x 1280 = 1,844,224 numbers; 7B: 8 x 729 x 1152 + 640,000 = 7,358,464
    found = {(preset, name): row for preset, name, row in sizes()}
    assert found["0.5b", "fp32"] == {"bytes_per_clip": 4 * 1844224, "clips_in_default": 2911}
    assert found["7b", "bf16"] == {"bytes_per_clip": 2 * 7358464, "clips_in_default": 1459}
