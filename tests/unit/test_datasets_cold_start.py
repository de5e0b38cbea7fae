"""The cold start: the paper's mix, the annotators' template and back, and the validator."""

from pathlib import Path

import openpyxl
import pytest

from r1omni.core.answer_format import AnswerFormat
from r1omni.core.clip import Clip
from r1omni.core.errors import DatasetError
from r1omni.datasets.reasoned_examples import mix, read_annotations, validate, write_template

REASON = "He raises his voice, his brows are drawn together and he leans forward."


def reasoned(corpus: str, count: int) -> list[Clip]:
    return [
        Clip(f"{i:04d}", Path(f"/{corpus}/{i}.mp4"), label="angry", reasoning=REASON, corpus=corpus)
        for i in range(count)
    ]


def test_the_paper_mix_is_580_whatever_the_order_of_the_lists() -> None:
    emer, own = reasoned("emer", 332), reasoned("own", 400)
    mixed = mix(emer, own, seed=3)
    assert (len(mixed), sum(clip.corpus == "emer" for clip in mixed)) == (580, 232)
    assert len({clip.id for clip in mixed}) == 580
    assert mix(emer[::-1], own[::-1], seed=3) == mixed
    assert mix(emer, own, seed=4) != mixed


def test_too_few_examples_are_counted_in_the_error() -> None:
    lacking = [Clip("x", Path("/x.mp4"), label="angry"), *reasoned("emer", 231)]
    with pytest.raises(DatasetError, match=r"found 231 EMER clips with label and reasoning \(of 232\); expected 232"):
        mix(lacking, reasoned("own", 348))
    assert len(mix(lacking, [], num_emer=10, num_own=0)) == 10


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_a_filled_template_comes_back_with_every_field_of_its_manifest(tmp_path: Path, suffix: str) -> None:
    clips = [
        Clip("00012", tmp_path / "a.mp4", subtitle="=别走", fold=2, meta={"actor": "07"}),
        Clip("00013", tmp_path / "b.mp4", label="sad", reasoning=REASON),
        Clip("00014", tmp_path / "c.mp4"),
    ]
    path = tmp_path / f"template{suffix}"
    write_template(path, clips)
    if suffix == ".xlsx":
        book = openpyxl.load_workbook(path)
        sheet = book["clips"]
        assert sheet["A2"].value == "00012"
        assert sheet.data_validations.dataValidation[0].sqref.ranges
        sheet["D2"], sheet["E2"] = "Anger", "He shouts;\nhe  stares."
        sheet.append(["99", "z.mp4", None, "sad", "x"])
        book.save(path)
    else:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        assert lines[1] == "00012,a.mp4,'=别走,,,"
        lines[1] = '00012,a.mp4,\'=别走,Anger,"He shouts;\nhe  stares.",'
        path.write_bytes("\r\n".join([*lines, "99,z.mp4,,sad,x,"]).encode("gb18030"))
    release = read_annotations(path, clips)
    first, second = release.clips
    assert (first.label, first.reasoning, first.subtitle) == ("angry", "He shouts; he stares.", "=别走")
    assert (first.fold, first.meta, first.path) == (2, {"actor": "07"}, tmp_path / "a.mp4")
    assert (second.label, second.reasoning) == ("sad", REASON)
    assert any("1 of 3 clips not done yet" in text for text in release.warnings)
    assert any("1 id not in the manifest, '99' first" in text for text in release.warnings)


def test_empty_and_doubled_annotations_are_errors(tmp_path: Path) -> None:
    clips = [Clip("a", tmp_path / "a.mp4")]
    write_template(tmp_path / "t.csv", clips)
    with pytest.raises(DatasetError, match="no row with both label and reasoning"):
        read_annotations(tmp_path / "t.csv", clips)
    (tmp_path / "t.csv").write_text("id,label,reasoning\na,sad,x\na,sad,y\n")
    with pytest.raises(DatasetError, match=r"t\.csv:3: duplicate id 'a'"):
        read_annotations(tmp_path / "t.csv", clips)
    with pytest.raises(DatasetError, match=r"end in \.csv or \.xlsx"):
        write_template(tmp_path / "t.ods", clips)


def test_the_validator_finds_tags_labels_lengths_and_repeats() -> None:
    def example(name: str, label: str | None, reasoning: str | None) -> Clip:
        return Clip(name, Path(f"/{name}.mp4"), label=label, reasoning=reasoning)

    clips = [
        example("good", "angry", REASON),
        example("repeated", "angry", REASON.upper()),
        example("tags", "angry", f"<think>{REASON}</think>"),
        example("short", "sad", "She cries."),
        example("long", "sad", "word " * 601),
        example("chinese", "sad", "她低着头，声音很轻，眼里有泪。"),
        example("oov", "furious", REASON + " He is furious."),
        example("bare", None, " "),
    ]
    found = [(problem["id"], problem["kind"]) for problem in validate(clips)]
    assert found == [
        ("repeated", "repeated"),
        ("tags", "tags"),
        ("short", "too-short"),
        ("long", "too-long"),
        ("oov", "oov-label"),
        ("bare", "no-label"),
        ("bare", "no-reasoning"),
    ]
    assert validate(clips[6:7], labels=["furious"]) == []


def test_the_validator_reads_another_answer_format() -> None:
    context = AnswerFormat.spelled("context,think,answer")
    parts = f"<context>A kitchen.</context><think>{REASON}</think>"

    def example(name: str, reasoning: str, label: str | None = "angry") -> Clip:
        return Clip(name, Path(f"/{name}.mp4"), label=label, reasoning=reasoning)

    clips = [
        example("good", parts),
        example("bare", REASON),
        example("swapped", f"<think>{REASON} Really.</think><context>A kitchen.</context>"),
        example("inner", f"<context>A <b>kitchen</b>.</context><think>{REASON}</think>"),
        example("unlabelled", f"<context>A garden.</context><think>{REASON}</think>", label=None),
    ]
    found = [(problem["id"], problem["kind"]) for problem in validate(clips, answer_format=context)]
    assert found == [("bare", "tags"), ("swapped", "tags"), ("inner", "tags"), ("unlabelled", "no-label")]
    # The paper's format: `<context>` is no part of it. Tags are no words.
    (problem, *_) = validate(clips[:1])
    assert problem["kind"] == "tags" and "holds the tag <think>" in problem["message"]
    short = [example("short", "<context>One two three</context><think>four five six seven</think>")]
    assert [problem["message"] for problem in validate(short, answer_format=context)] == ["7 words; expected 8 or more"]


def test_labels_are_compared_as_evaluation_compares_them() -> None:
    clip = Clip("a", Path("/a.mp4"), label=" Angry", reasoning=REASON)
    assert validate([clip]) == [] == validate([clip], labels=["ANGRY"])


@pytest.mark.parametrize("num_words", [8, 521, 600])
def test_reasons_of_real_lengths_are_accepted(num_words: int) -> None:
    """Published EMER reasoning has up to 521 words."""
    assert validate([Clip("a", Path("/a.mp4"), label="angry", reasoning="word " * num_words)]) == []
