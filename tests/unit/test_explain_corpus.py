"""The reasons of a run's answers: graded, read, relied on; cached by content, and the same after a kill."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.core.evidence import Evidence, EvidenceItem
from r1omni.core.instruction import REASONING_INSTRUCTION, format_answer
from r1omni.evaluate.run import Grading, evaluate, score_again
from r1omni.explain.evidence_file import EvidenceFile
from r1omni.explain.explained_corpus import AnsweredCorpus, explain_corpus
from r1omni.scoring.explained_answer import ExplainedAnswer
from r1omni.scoring.prediction import Prediction, predict_from
from small_model import LABELS, MadeUpFeatures, small_model

LOUD = EvidenceItem("loudness_db", "sound", -15.0, "dBFS", 0.0, 4.0, None, "a test", "loud")
TEXTS = {
    "0": format_answer("The voice is loud. The brows are raised. The person feels angry.", "angry"),
    "1": format_answer("The voice is soft. The person feels sad.", "happy"),
    "2": "no tags at all",
    "3": format_answer("The voice is loud.", "sad"),
}


@pytest.fixture(scope="module")
def engine():
    model, processor = small_model()
    return MadeUpFeatures(model.eval(), processor)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    folder, found = tmp_path_factory.mktemp("clips"), []
    for name in TEXTS:
        path = folder / f"{name}.mp4"
        path.write_bytes(b"the same bytes" if name in "03" else name.encode())
        found.append(Clip(name, path, label="angry"))
    return found


def _predictions(clips: list[Clip]) -> list[Prediction]:
    return [predict_from(clip, TEXTS[clip.id], "exact", LABELS) for clip in clips]


class Measurer:
    def __init__(self) -> None:
        self.measured: list[str] = []

    def __call__(self, clip: Clip) -> Evidence:
        self.measured.append(clip.id)
        return Evidence(True, True, 4.0, (LOUD,))


def _explain(engine, clips, folder: Path, measure, relied_on=2):
    corpus = AnsweredCorpus(clips, _predictions(clips), REASONING_INSTRUCTION, LABELS)
    return explain_corpus(
        lambda: engine, corpus, EvidenceFile(folder / "evidence.jsonl", measure, "1"), folder, relied_on
    )


@dataclass(frozen=True)
class Finished:
    """One explained corpus, for tests to copy: its folder, what it measured and what it found."""

    folder: Path
    measured: list[str]
    explained: list[ExplainedAnswer]


@pytest.fixture(scope="module")
def finished(engine, clips, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder, measure = tmp_path_factory.mktemp("finished"), Measurer()
    explained = _explain(engine, clips, folder, measure)
    return Finished(folder, measure.measured, explained)


def _copied(finished: Finished, folder: Path) -> Path:
    return Path(shutil.copytree(finished.folder, folder, dirs_exist_ok=True))


def test_every_answer_with_reasons_is_explained_and_a_sample_is_relied_on(finished: Finished):
    explained = finished.explained
    assert [answer.id for answer in explained] == ["0", "1", "3"]
    assert [claim.state for claim in explained[0].claims] == ["supported", "unverifiable"]
    assert all(answer.alone is not None and sum(answer.alone.values()) == pytest.approx(1) for answer in explained)
    # every second one of three: the first and the third
    assert [answer.reliance is not None for answer in explained] == [True, False, True]
    for answer in explained:
        assert (answer.attribution is not None) == (answer.reliance is not None)
    rests_on = explained[0].attribution
    assert rests_on is not None and rests_on["players"] == ["pictures", "sound", "reasons"]
    assert rests_on["swapped_sound"] is None  # nothing says that these clips were read with sound
    reliance = explained[0].reliance
    assert reliance is not None and len(reliance.cut) == 3
    rows = (finished.folder / "explanations.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in rows] == list("013")


def test_the_same_content_is_measured_once_and_a_second_run_measures_and_computes_nothing(
    finished: Finished, clips, tmp_path: Path
):
    assert finished.measured == ["0", "1"]  # the file of clip 3 holds the same bytes as that of clip 0
    second = Measurer()
    assert _explain(None, clips, _copied(finished, tmp_path), second) == finished.explained
    assert second.measured == []


def test_a_run_that_was_killed_goes_on_to_the_same_rows(engine, finished: Finished, clips, tmp_path: Path):
    (tmp_path / "killed").mkdir()
    whole = (finished.folder / "explanations.jsonl").read_text()
    (tmp_path / "killed" / "explanations.jsonl").write_text(whole.splitlines()[0] + "\n" + whole.splitlines()[1][:30])
    _explain(engine, clips, tmp_path / "killed", Measurer())
    again = [json.loads(line) for line in (tmp_path / "killed" / "explanations.jsonl").read_text().splitlines()]
    for row, other in zip(again, map(json.loads, whole.splitlines()), strict=True):
        assert row.pop("alone") == pytest.approx(other.pop("alone"), abs=1e-5)
        rests_on, others = row.pop("attribution"), other.pop("attribution")
        assert (rests_on is None) == (others is None)
        if rests_on is not None:
            assert rests_on["values"] == pytest.approx(others["values"], abs=1e-4)
        assert row == other


def test_a_new_output_or_label_set_makes_rows_stale(engine, finished: Finished, clips, tmp_path: Path):
    _copied(finished, tmp_path)
    predictions = _predictions(clips)
    changed = replace(predictions[0], text=format_answer("He smiles.", "happy"), reasoning="He smiles.")
    corpus = AnsweredCorpus(clips, [changed, *predictions[1:]], REASONING_INSTRUCTION, LABELS[:2])
    file = EvidenceFile(tmp_path / "evidence.jsonl", Measurer(), "1")
    explained = explain_corpus(lambda: engine, corpus, file, tmp_path, 0)
    assert [claim.claim.what for claim in explained[0].claims] == ["smile"]
    assert all(set(answer.alone or ()) == set(LABELS[:2]) for answer in explained)


def test_another_way_of_measuring_makes_rows_stale(engine, finished: Finished, clips, tmp_path: Path):
    _copied(finished, tmp_path)
    again = Measurer()
    corpus = AnsweredCorpus(clips, _predictions(clips), REASONING_INSTRUCTION, LABELS)
    explained = explain_corpus(
        lambda: engine, corpus, EvidenceFile(tmp_path / "evidence.jsonl", again, "2"), tmp_path, 0
    )
    assert again.measured == ["0", "1"]
    assert {answer.evidence_version for answer in explained} == {"2"}


def test_a_clip_that_cannot_be_measured_any_more_is_left_out(engine, clips, tmp_path: Path):
    def fails(clip: Clip) -> Evidence:
        raise MediaError("truncated", "cut")

    assert _explain(engine, clips, tmp_path, fails) == []


def test_a_folder_of_frames_is_known_by_all_of_its_files(engine, tmp_path: Path):
    frames = tmp_path / "frames"
    frames.mkdir()
    for place in range(2):
        (frames / f"{place}.jpg").write_bytes(bytes([place]))
    measure = Measurer()
    file = EvidenceFile(tmp_path / "evidence.jsonl", measure, "1")
    assert file.of(Clip("a", frames)) is not None and file.of(Clip("b", frames)) is not None
    assert measure.measured == ["a"]
    (frames / "1.jpg").write_bytes(b"another")
    file.of(Clip("a", frames))
    assert measure.measured == ["a", "a"]


def test_a_made_corpus_is_graded_by_its_cues(engine, tmp_path: Path):
    cues = dict(
        brows="raised", eyes="wide", mouth="open", head="still", pitch="high", volume="loud", pace="fast", tone="flat"
    )
    clip = Clip("made", tmp_path / "made.mp4", label="angry", meta={"cues": cues | {"words": "plain"}})
    text = format_answer("In the video, raised brows, closed mouth. In the audio, loud volume.", "angry")
    corpus = AnsweredCorpus([clip], [predict_from(clip, text, "exact", LABELS)], REASONING_INSTRUCTION, LABELS)
    file = EvidenceFile(tmp_path / "evidence.jsonl", Measurer(), "1")
    (explained,) = explain_corpus(lambda: engine, corpus, file, tmp_path, 0)
    assert [claim.state for claim in explained.claims] == ["supported", "contradicted", "supported"]
    assert explained.claims[0].item is not None and explained.claims[0].item.measured_by == "manifest"


def test_scores_hold_the_figures_of_the_explanations_and_keep_them(finished: Finished, clips, tmp_path: Path):
    def run():
        return evaluate(
            lambda pending: [TEXTS[clip.id] for clip in pending], clips, Grading(LABELS), out_dir=tmp_path / "run"
        )

    scores = run()
    assert scores is not None and "hallucination_rate" not in scores["explanations"]["figures"]
    _copied(finished, tmp_path / "run")
    again = score_again(tmp_path / "run", clips, Grading(LABELS))
    assert again is not None
    figures = again["explanations"]["figures"]
    # loud is supported twice, soft contradicted once
    assert figures["hallucination_rate"]["value"] == pytest.approx(100 / 3, abs=1e-3)
    assert figures["claims_per_answer"]["value"] == pytest.approx(4 / 3, abs=1e-3)
    assert figures["claims_per_answer"]["unit"] == "per answer"
    # angry = angry, sad is not happy; a loud voice alone implies nothing
    assert (figures["epc"]["count"], figures["epc"]["total"]) == (1, 2)
    assert again["explanations"]["accuracy_by_agreement"]["agree"]["value"] == 100
    assert figures["reliance_cut"]["total"] == 4
    assert run() == again
