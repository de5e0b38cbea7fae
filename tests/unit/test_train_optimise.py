"""Learning rates by hand: transformers' schedules, read so that no step is wasted."""

import math

import pytest

from r1omni.train.optimise import learning_rate_schedule


def test_cosine_warms_up_and_falls():
    # 10 steps, warm-up 2: a third and two thirds of the peak, then half a cosine from the peak.
    rate_at = learning_rate_schedule(10, 3.0, "cosine", 0.2)
    assert [rate_at(step) for step in range(3)] == pytest.approx([1.0, 2.0, 3.0])
    # Step 6 is half-way from step 2 to step 10.
    assert rate_at(6) == pytest.approx(1.5)
    # One of 8 steps before the end: 1.5 (1 + cos(7/8 pi)).
    assert rate_at(9) == pytest.approx(1.5 * (1 + math.cos(7 / 8 * math.pi)))


def test_linear_falls_evenly_to_its_last_step():
    # 5 steps without warm-up: 5/5, 4/5, ... 1/5 of the peak; 0 would come one step after the last.
    rate_at = learning_rate_schedule(5, 2.0, "linear", 0.0)
    assert [rate_at(step) for step in range(6)] == pytest.approx([2.0, 1.6, 1.2, 0.8, 0.4, 0.0])


def test_constant_stays_at_its_peak_after_the_warm_up():
    # 4 steps, warm-up ceil(0.3 x 4) = 2: a third, two thirds, then the peak.
    rate_at = learning_rate_schedule(4, 3.0, "constant", 0.3)
    assert [rate_at(step) for step in range(5)] == pytest.approx([1.0, 2.0, 3.0, 3.0, 3.0])


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("warmup_ratio", [0.0, 0.03, 0.5, 1.0])
@pytest.mark.parametrize("num_steps", [1, 7, 120])
def test_a_rate_is_never_negative_and_never_rises_after_the_warm_up(schedule, warmup_ratio, num_steps):
    rate_at = learning_rate_schedule(num_steps, 1e-3, schedule, warmup_ratio)
    rates = [rate_at(step) for step in range(3 * num_steps)]
    num_warmup = math.ceil(warmup_ratio * num_steps)
    assert all(0 < rate <= 1e-3 for rate in rates[:num_steps])
    assert all(0 <= after <= before for before, after in zip(rates[num_warmup:], rates[num_warmup + 1 :], strict=False))
