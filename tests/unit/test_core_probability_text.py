"""Probabilities as people read them."""

import pytest

from r1omni.core.probability_text import probability_text


@pytest.mark.parametrize(
    ("probability", "shown"),
    [
        (1.0, "> 99 %"),
        (0.9951, "> 99 %"),
        (0.994, "99 %"),
        (0.5, "50 %"),
        (0.006, "1 %"),
        (0.0049, "< 1 %"),
        (0.0, "< 1 %"),
    ],
)
def test_a_probability_is_never_shown_as_certain(probability: float, shown: str) -> None:
    assert probability_text(probability) == shown
