"""The words of a clip as a field of its prompt: where they come from, how they are asked, what a run is known by."""

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from pydantic import ValidationError

from r1omni.config.sections import EngineSection
from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError
from r1omni.core.instruction import MAX_FIELD_CHARACTERS, with_text_field
from r1omni.datasets.manifest import read_manifest
from r1omni.infer.engine import build_engine
from r1omni.infer.features import NO_FEATURES, ClipText, Features
from r1omni.infer.prompt import Prompt
from r1omni.infer.text_field import text_field, text_field_identity
from r1omni.runs.file_hashes import FileHashes
from small_model import small_model

CLIPS = Path(str(files("r1omni") / "assets" / "clips"))
GOLDEN = Path(__file__).parents[1] / "golden"
MADE = read_manifest(CLIPS / "manifest.jsonl")[0]


def test_the_field_follows_the_question_on_a_line_of_its_own():
    assert with_text_field("Which emotion?", "Subtitle", "We must\n run now.") == (
        'Which emotion?\nSubtitle: "We must run now."'
    )


def test_a_long_text_is_cut_at_a_word():
    field = with_text_field("Q", "Transcript", "word " * 300)
    assert field.endswith('word ..."')
    assert len(field) <= len('Q\nTranscript: "" ...') + MAX_FIELD_CHARACTERS


def test_a_prompt_has_the_field_of_its_features_and_no_field_without_words():
    assert Prompt.ask("Q", NO_FEATURES).messages[0].content == "Q"
    features = replace(NO_FEATURES, text=ClipText("Subtitle", "Run."))
    assert Prompt.ask("Q", features).messages[0].content == 'Q\nSubtitle: "Run."'


@pytest.mark.parametrize(("side", "left"), [("pictures", "sound"), ("sound", "pictures")])
def test_words_go_with_the_side_that_they_were_read_from(side, left):
    features = replace(NO_FEATURES, text=ClipText("Subtitle", "Run.", side))
    assert features.without(side).text is None
    assert features.without(left).text == features.text


def test_words_of_a_manifest_stay_whatever_side_is_taken_away():
    features = replace(NO_FEATURES, text=ClipText("Subtitle", "Run."))
    assert features.without("pictures").without("sound").text == features.text


def test_there_is_no_field_unless_it_is_asked_for():
    assert text_field(EngineSection()) is None
    assert text_field_identity(EngineSection()) == {}


def test_the_manifests_subtitle_is_the_field():
    read = text_field(EngineSection(text_field="manifest"))
    assert read is not None
    assert read(MADE) == ClipText("Subtitle", str(MADE.subtitle))
    assert read(replace(MADE, subtitle=None)) is None


def test_subtitles_are_read_once_and_then_remembered(tmp_path: Path):
    pytest.importorskip("rapidocr")
    film = tmp_path / "film.mp4"
    film.write_bytes((GOLDEN / "made-angry.mp4").read_bytes())
    import os

    os.utime(film, (1, 1))
    hashes = FileHashes(tmp_path / "cache")
    read = text_field(EngineSection(text_field="subtitles"), hashes)
    assert read is not None
    found = read(Clip("film", film))
    assert found is not None and (found.label, found.side) == ("Subtitle", "pictures")
    assert found.text.lower() == "we must run now."
    assert read(Clip("film again", film)) == found


def test_a_side_that_is_not_read_gives_no_words():
    with pytest.raises(ConfigError, match="'subtitles' is read from the pictures, which modality 'audio' leaves out"):
        text_field(EngineSection(text_field="subtitles", modality="audio"))


@pytest.mark.parametrize(
    "settings", [{"text_field": "transcript"}, {"whisper": "w"}, {"text_field": "manifest", "whisper": "w"}]
)
def test_a_transcript_and_a_whisper_checkpoint_need_each_other(settings: dict[str, str]):
    with pytest.raises(ValidationError, match="a transcript needs a Whisper checkpoint"):
        EngineSection.model_validate(settings)


def test_a_run_is_known_by_the_field_and_by_what_reads_it():
    manifest = text_field_identity(EngineSection(text_field="manifest"))
    subtitles = text_field_identity(EngineSection(text_field="subtitles"))
    heard = text_field_identity(EngineSection(text_field="transcript", whisper="openai/whisper-tiny"))
    assert manifest == {"text_field": "manifest"}
    assert subtitles["text_field"] == "subtitles" and "text_version" in subtitles
    assert heard["whisper"] == "openai/whisper-tiny"


def test_the_engine_gives_every_clip_its_words_even_from_the_cache(tmp_path: Path):
    model, processor = small_model()
    settings = EngineSection(text_field="manifest", cache_dir=tmp_path, num_workers=1, batch_size=2)
    engine = build_engine(model, processor, settings)
    other = replace(MADE, subtitle="Run!")
    for _ in range(2):
        found = engine.encoder.features([MADE, other, replace(MADE, subtitle=None)])
        texts = [entry.text for entry in found if isinstance(entry, Features)]
        assert texts == [ClipText("Subtitle", str(MADE.subtitle)), ClipText("Subtitle", "Run!"), None]
