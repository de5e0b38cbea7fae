"""One answer explained, and the figures over many: each worked by hand."""

from pathlib import Path

import pytest

from r1omni.core.clip import Clip
from r1omni.core.evidence import Evidence, EvidenceItem
from r1omni.core.instruction import format_answer
from r1omni.core.labels import DFEW_LABELS
from r1omni.core.media_read import MediaRead, PicturesRead
from r1omni.scoring.claims import read_reasons
from r1omni.scoring.explained_answer import (
    ExplainedAnswer,
    Reliance,
    attribution_figures,
    claim_figures,
    count_figures,
    explain_by_evidence,
    model_reader_figures,
    reliance_figures,
)
from r1omni.scoring.prediction import Said, predict_from
from r1omni.scoring.turned_claim import turn_round

LOUD = EvidenceItem("loudness_db", "sound", -15.0, "dBFS", 0.0, 4.0, None, "a test", "loud")
LEVEL = EvidenceItem("brow_height", "pictures", 0.3, "eye distances", 0.0, 4.0, None, "a test", "level")
HEARD = EvidenceItem("transcript", "text", "get out", "", 0.0, 4.0, None, "a test")
EVIDENCE = Evidence(True, True, 4.0, (LOUD, LEVEL, HEARD))


def _prediction(reasoning, answer="angry", read=None, name="one"):
    clip = Clip(name, Path(__file__), label="angry")
    return predict_from(clip, Said(format_answer(reasoning, answer), read), "exact", DFEW_LABELS)


# one supported, one contradicted, one unverifiable; two words off in a quotation; one abstention
TEXT = 'In the audio, the voice is loud. Her brows are raised, and he nods. He says "get in". In the text, no clues.'


def test_claims_are_graded_and_abstentions_kept():
    explained = explain_by_evidence(_prediction(TEXT), EVIDENCE)
    states = [(claim.claim.what, claim.state) for claim in explained.claims]
    assert states == [
        ("loudness", "supported"),
        ("brows", "contradicted"),
        ("head", "unverifiable"),
        ("quotation", "contradicted"),
    ]
    assert [abstention.side for abstention in explained.abstentions] == ["text"]


def test_what_the_model_was_not_given_counts_as_absent():
    pictures_alone = MediaRead(pictures=PicturesRead(2, 4.0))
    explained = explain_by_evidence(_prediction("In the audio, the voice is loud.", read=pictures_alone), EVIDENCE)
    assert [(claim.state, claim.is_side_absent) for claim in explained.claims] == [("contradicted", True)]
    assert claim_figures([explained])["absent_side_rate"].value == 1


def test_a_record_comes_back_as_it_was_written():
    explained = explain_by_evidence(_prediction(TEXT), EVIDENCE)
    assert ExplainedAnswer.from_json(explained.to_json()) == explained
    with pytest.raises(ValueError, match="not an explanation"):
        ExplainedAnswer.from_json({"id": "one"})


def test_figures_over_claims():
    answers = [
        explain_by_evidence(_prediction(TEXT), EVIDENCE),
        explain_by_evidence(_prediction("In the audio, the voice is loud.", name="two"), EVIDENCE),
    ]
    figures, counts = claim_figures(answers), count_figures(answers)
    # supported 1 + 1, contradicted 2
    assert (figures["hallucination_rate"].count, figures["hallucination_rate"].total) == (2, 4)
    assert figures["hallucination_rate_sound"].value == 0
    assert figures["hallucination_rate_pictures"].value == 1
    assert figures["verifiable_rate"].value == pytest.approx(4 / 5)
    # "getin" against "getout": o inserted, u and t for i and n: three of six letters
    assert figures["subtitle_error_rate"].value == pytest.approx(3 / 6)
    assert counts["claims_per_answer"].value == 2.5
    assert counts["abstentions_per_answer"].value == 0.5


def test_the_second_reader_has_its_own_figures():
    prediction = _prediction("The person feels sad.")
    explained = explain_by_evidence(prediction, EVIDENCE)
    read = ExplainedAnswer(explained.id, explained.text_hash, (), (), alone={"angry": 0.7, "sad": 0.3})
    assert prediction.reasons_agree is False
    figures = model_reader_figures([read], [prediction])
    assert [figures[f"{name}_by_model"].value for name in ("eea", "epc", "fcr")] == [1, 1, 1]
    assert model_reader_figures([explained], [prediction])["epc_by_model"].value is None


def test_reliance_counts_the_answers_that_change():
    rows = [
        ExplainedAnswer("a", "", (), (), reliance=Reliance("sad", ("happy", "sad"), "happy", None)),
        ExplainedAnswer("b", "", (), (), reliance=Reliance("sad", ("sad",), "sad", "happy")),
        ExplainedAnswer("c", "", (), ()),
    ]
    figures = reliance_figures(rows)
    assert figures["reliance_cut"].value == pytest.approx(1 / 3)
    assert figures["reliance_removed"].value == 0.5
    assert figures["reliance_replaced"].value == 0.5
    assert (figures["reliance_turned"].count, figures["reliance_turned"].total) == (1, 1)


def test_shares_of_the_sides_are_means_over_answers():
    rows = [
        ExplainedAnswer("a", "", (), (), attribution={"clip_shares": {"pictures": 0.25, "sound": 0.75}}),
        ExplainedAnswer("b", "", (), (), attribution={"clip_shares": {"pictures": 0.75, "sound": 0.25}}),
        ExplainedAnswer("c", "", (), (), attribution={"clip_shares": None}),
    ]
    assert attribution_figures(rows)["sound_share"].value == 0.5
    assert "changed_by_other_sound" not in attribution_figures(rows)


def test_the_share_of_answers_that_another_sound_changes_is_over_those_that_were_tried():
    """Three were tried, two of them changed."""
    tried: list[dict[str, bool] | None] = [{"is_changed": True}, {"is_changed": False}, None, {"is_changed": True}]
    rows = [ExplainedAnswer("a", "", (), (), attribution={"clip_shares": None, "swapped_sound": one}) for one in tried]
    figure = attribution_figures(rows)["changed_by_other_sound"]
    assert (figure.count, figure.total) == (2, 3)


def test_one_claim_is_turned_round():
    text = "In the audio, loud volume."
    turned = turn_round(text, read_reasons(text).claims)
    assert turned is not None and turned.apply(text) == "In the audio, soft volume."
    assert turn_round("He wears a coat.", ()) is None
