"""Reasoned examples name what the base model sees, and nothing else of what the annotators wrote."""

from pathlib import Path

from r1omni.core.clip import Clip
from r1omni.reproduce.examples import rightly_named, without_unseen
from r1omni.synth.world import Channel

CUES: dict[Channel, str] = {"brows": "raised", "mouth": "open", "pitch": "high", "words": "kind"}


def test_a_cue_is_seen_where_enough_captions_name_its_true_value():
    captions = [
        "In the video, raised brows, open mouth. In the audio, high pitch.",
        "In the video, raised brows, closed mouth. In the audio, high pitch.",
        "In the video, raised brows, closed mouth. In the audio, low pitch.",
        "In the video, level brows, smiling mouth. In the audio, low pitch.",
    ]
    assert rightly_named(captions, CUES, 0.75) == {"brows"}
    assert rightly_named(captions, CUES, 0.5) == {"brows", "pitch"}
    assert rightly_named(captions, CUES, 0.25) == {"brows", "mouth", "pitch"}


def test_what_is_not_seen_is_left_out_of_the_reasons_and_the_conclusion_stays():
    clip = Clip(
        id="0",
        path=Path("0.mp4"),
        label="surprise",
        reasoning="In the video, raised brows, open mouth. In the audio, high pitch. In the text, kind words. "
        "The person feels surprise.",
        meta={"cues": CUES, "emotion": "surprise"},
    )
    kept = without_unseen(clip, {"brows", "pitch", "eyes"})
    assert kept.reasoning == "In the video, raised brows. In the audio, high pitch. The person feels surprise."
    assert without_unseen(clip, set()).reasoning == "The person feels surprise."
    assert (kept.id, kept.label) == (clip.id, clip.label)
