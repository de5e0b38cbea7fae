"""Which clips are bundled: what fits, what is refused, and how a side is taken away."""

from dataclasses import replace
from pathlib import Path

import av
import pytest

from bundle_assets import MAX_BYTES, Sample, first_that_fits, fits, write_sample
from r1omni.core.answer_format import PAPER_FORMAT
from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError
from r1omni.datasets.manifest import read_manifest
from r1omni.infer.predict_files import ASSETS, Prediction
from r1omni.media.decode import load_media

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "made-angry.mp4"
MADE = next(clip for clip in read_manifest(ASSETS / "clips" / "manifest.jsonl") if clip.path.stem == "angry")
CUES = {
    "brows": "lowered", "eyes": "relaxed", "mouth": "pressed", "head": "forward", "pitch": "low", "volume": "loud",
    "pace": "normal", "tone": "steady", "words": "hostile",
}  # fmt: skip
ANGRY = replace(MADE, meta={**MADE.meta, "cues": CUES, "emotion": "angry"})
BOTH = "In the video, lowered brows and pressed lips. In the audio, the voice is loud. She feels angry."


def said(reasoning: str, answer: str = "angry") -> Prediction:
    return Prediction(Path("a.mp4"), reasoning, answer, text=PAPER_FORMAT.write(reasoning, answer))


def test_right_answers_whose_reasons_hold_fit() -> None:
    assert fits(ANGRY, said(BOTH), None)
    assert not fits(ANGRY, said(BOTH, "sad"), None)
    assert not fits(ANGRY, said(BOTH.replace("loud", "soft")), None)
    assert not fits(ANGRY, said("She feels angry. Nothing else is clear."), None)
    assert not fits(ANGRY, said(BOTH.replace("feels angry", "feels sad")), None)
    assert not fits(replace(ANGRY, meta={"emotion": "angry"}), said(BOTH), None)


def test_a_claim_about_the_side_that_is_taken_away_does_not_fit() -> None:
    pictures, sound = (
        BOTH.split("In the audio")[0] + "She feels angry.",
        "In the audio, the voice is loud. She feels angry.",
    )
    assert fits(ANGRY, said(pictures), "sound") and fits(ANGRY, said(sound), "pictures")
    assert not fits(ANGRY, said(BOTH), "sound") and not fits(ANGRY, said(BOTH), "pictures")


@pytest.mark.parametrize(("absent", "name", "kind"), [("sound", "a.mp4", "video"), ("pictures", "a.m4a", "audio")])
def test_the_stream_that_is_left_has_the_packets_that_it_had(tmp_path: Path, absent, name: str, kind: str) -> None:
    write_sample(GOLDEN, tmp_path / name, absent)
    with av.open(str(GOLDEN)) as whole, av.open(str(tmp_path / name)) as one:
        assert [stream.type for stream in one.streams] == [kind]
        (before,) = [stream for stream in whole.streams if stream.type == kind]
        packets = [bytes(packet) for packet in whole.demux(before) if packet.size]
        assert [bytes(packet) for packet in one.demux() if packet.size] == packets
    media = load_media(tmp_path / name, num_frames=2)
    assert (media.frames is None) == (absent == "pictures") and (media.waveform is None) == (absent == "sound")
    entry = Sample(name, replace(ANGRY, label="sad"), absent).entry(tmp_path)
    assert (entry.path, entry.label) == (tmp_path / name, "angry")
    assert entry.meta["modality"] == ("video" if absent == "sound" else "audio") and entry.meta["cues"] == CUES


def test_too_few_clips_are_a_sentence() -> None:
    clips = [Clip("a", GOLDEN, meta={"emotion": "sad"}), replace(ANGRY, path=GOLDEN)]
    assert first_that_fits([], clips, {"angry"}, "sound") is clips[1]
    with pytest.raises(ConfigError, match="None of 0 validation clips of fear without pictures is answered rightly"):
        first_that_fits([], clips, {"fear"}, "pictures")


def test_the_bundle_is_small_enough() -> None:
    files = [path for name in ("clips", "drawn-people") for path in (ASSETS / name).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES
