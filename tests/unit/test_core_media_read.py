"""The record of what was read: what it says in words and in JSON."""

import json
from dataclasses import replace

import pytest

from r1omni.core.media_read import NOTHING_READ, MediaRead, PicturesRead, SoundRead

PLAIN = MediaRead(PicturesRead(8, 2.5), SoundRead(2.5, 2.5))
ODD = MediaRead(
    PicturesRead(8, 12.4, num_damaged_packets=1, track="picture track 1 of 2"),
    SoundRead(3.0, 12.4, ((0.5, 1.25),), 7, False, "sound track 2 of 2 (eng)"),
)


@pytest.mark.parametrize(
    ("read", "modality", "summary"),
    [
        (PLAIN, "video+audio", "8 frames of 2.5 s of pictures, 2.5 s of sound"),
        (ODD, "video+audio", "8 frames of 12.4 s of pictures, 3.0 of 12.4 s of sound"),
        (MediaRead(PicturesRead(1, 0.0)), "video", "a still image"),
        (
            MediaRead(PicturesRead(1, 0.04), SoundRead(3.0, 3.09)),
            "video+audio",
            "1 frame of 0.0 s of pictures, 3.1 s of sound",
        ),
        (MediaRead(sound=SoundRead(3.0, 12.4)), "audio", "3.0 of 12.4 s of sound"),
        (NOTHING_READ, None, "no clip"),
    ],
)
def test_modality_and_lengths_are_said_in_a_few_words(read: MediaRead, modality: str | None, summary: str):
    assert (read.modality, read.summary()) == (modality, summary)


def test_a_plain_clip_has_no_remark():
    assert PLAIN.remarks() == NOTHING_READ.remarks() == []
    padded = MediaRead(sound=SoundRead(3.0, 3.09, gaps_s=((1.0, 1.09),)))  # less than a tenth of a second each
    assert padded.remarks() == []


def test_what_is_special_is_a_clause_each():
    assert ODD.remarks() == [
        "the model heard the first 3.0 of 12.4 s of sound",
        "the sound has gaps, filled with silence: 0.5 to 1.2 s",
        "1 damaged picture packet was left out",
        "7 damaged sound packets were left out",
        "picture track 1 of 2 and sound track 2 of 2 (eng) were read",
    ]
    gaps = tuple((float(second), second + 0.5) for second in range(5))
    assert MediaRead(sound=SoundRead(9.0, 9.0, gaps)).remarks() == [
        "the sound has gaps, filled with silence: 0.0 to 0.5 s, 1.0 to 1.5 s, 2.0 to 2.5 s and 2 more"
    ]


def test_digital_silence_is_said_once_whatever_gaps_it_has():
    silent = MediaRead(PLAIN.pictures, SoundRead(2.5, 2.5, ((0.5, 1.5),), is_silent=True))
    assert silent.remarks() == ["the sound is digital silence"]


@pytest.mark.parametrize("read", [PLAIN, ODD, NOTHING_READ, ODD.only("sound"), ODD.only("pictures")])
def test_the_record_comes_back_from_json(read: MediaRead):
    assert MediaRead.from_json(json.loads(json.dumps(read.to_json()))) == read


def test_json_has_modality_seconds_used_and_seconds_there_are():
    assert ODD.to_json() == {
        "modality": "video+audio",
        "pictures": {
            "used_s": 12.4,
            "num_frames": 8,
            "total_s": 12.4,
            "num_damaged_packets": 1,
            "track": "picture track 1 of 2",
        },
        "sound": {
            "used_s": 3.0,
            "total_s": 12.4,
            "gaps_s": [[0.5, 1.25]],
            "num_damaged_packets": 7,
            "is_silent": False,
            "track": "sound track 2 of 2 (eng)",
        },
    }


def test_sides_are_taken_apart_and_put_together():
    assert ODD.only("pictures").with_sides_of(ODD.only("sound")) == ODD
    assert ODD.with_sides_of(NOTHING_READ) == ODD
    assert PLAIN.with_sides_of(ODD.only("sound")) == replace(PLAIN, sound=ODD.sound)
