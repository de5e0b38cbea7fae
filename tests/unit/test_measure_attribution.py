"""The optimal reader of `scripts/measure_attribution.py`: what attribution can name at best."""

from pathlib import Path

import pytest

from measure_attribution import Row, optimal_row
from r1omni.core.clip import Clip
from r1omni.synth.world import CHANNELS, Cues


def cues(words: str) -> Cues:
    return dict(zip(CHANNELS, words.split(), strict=True))


@pytest.mark.parametrize(
    ("shown", "side", "num_right", "named"),
    [
        ("lowered narrowed pressed forward high soft slow lively kind", "pictures", 1, 1),  # an angry face
        ("lowered narrowed pressed forward high soft slow lively kind", "sound", 1, 0),
        ("level relaxed smirking back medium loud fast trembling hostile", "sound", 1, 1),  # an angry voice
        ("level crinkled smiling still high moderate normal lively kind", "sound", 0, 0),  # a happy clip: not right
    ],
)
def test_the_optimal_reader_names_the_side_whose_cues_speak_for_the_label(
    shown: str, side: str, num_right: int, named: int
):
    clip = Clip("0", Path("0.mp4"), label="angry", meta={"cues": cues(shown)})
    assert optimal_row(side, [clip]) == Row("optimal reader", side, "random", 1, num_right, named, named)  # pyright: ignore[reportArgumentType]
