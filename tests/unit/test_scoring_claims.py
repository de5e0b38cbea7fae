"""Claims read out of reasons: side, what, value, polarity, hedge, place and characters; abstentions are no claims."""

import itertools

import pytest

from claim_sentences import agreement, read_sentences
from r1omni.scoring.claims import read_reasons
from r1omni.scoring.quotations import best_match, character_error_rate, find_quotations
from r1omni.synth.words import SENTENCES, describe
from r1omni.synth.world import CHANNELS, CUE_VALUES


def _told(text):
    return [(claim.what, claim.value, claim.polarity) for claim in read_reasons(text).claims]


def test_the_sentences_that_the_parser_was_built_on_are_read_as_marked():
    found = agreement(read_sentences("seen"))
    assert found.differences == []
    total = found.found.total()
    assert (found.hedges_right, found.places_right, found.spans_right) == (total, total, total)


def test_sentences_that_the_parser_was_not_built_on_are_read_nearly_as_marked():
    found = agreement(read_sentences("held_out"))
    assert found.precision >= 0.90
    assert found.recall >= 0.80


def test_what_a_sentence_says_cannot_be_judged_is_an_abstention():
    for row in read_sentences("seen"):
        sides = [abstention.side for abstention in read_reasons(row["text"]).abstentions]
        assert sides == [mark["side"] for mark in row["abstains"]], row["text"]


@pytest.mark.parametrize("channel", CHANNELS)
def test_every_cue_of_a_made_corpus_is_one_claim(channel):
    for value in CUE_VALUES[channel]:
        claims = read_reasons(f"{describe({channel: value})} The person feels happy.").claims
        assert len(claims) == 1, (channel, value, claims)
        assert claims[0].polarity == "positive" and claims[0].hedge is None


def test_different_cues_of_one_channel_are_different_claims():
    for channel, values in CUE_VALUES.items():
        for one, other in itertools.combinations(values, 2):
            assert _told(describe({channel: one})) != _told(describe({channel: other}))


def test_a_claim_holds_the_characters_it_came_from():
    text = "In the video, the man lowers his head. In the audio, his voice is loud."
    head, voice = read_reasons(text).claims
    assert text[head.start : head.stop] == "lowers his head"
    assert text[voice.start : voice.stop] == "voice is loud"


def test_what_a_sentence_is_about_carries_over_to_the_next_one():
    assert _told("In the video, a woman sits in a room. She is crying.") == [("tears", "present", "positive")]
    assert _told("In the audio, a woman speaks. She is crying.") == [("crying", "present", "positive")]


def test_a_denial_ends_with_its_clause():
    assert _told("She does not smile, but her eyes are wide.") == [
        ("smile", "present", "negative"),
        ("eyes", "wide", "positive"),
    ]


def test_what_is_said_of_music_is_no_claim_about_the_voice():
    assert _told("In the audio, music with a fast rhythm can be heard.") == []
    assert _told("In the audio, his speech has a fast rhythm.") == [("pace", "fast", "positive")]


def test_what_has_stopped_is_denied():
    assert _told("She stopped smiling.") == [("smile", "present", "negative")]
    assert _told("The smile gradually faded.") == [("smile", "present", "negative")]


def test_a_text_without_anything_to_check_holds_no_claim():
    assert read_reasons("").claims == ()
    assert read_reasons("In the video, a man in a red coat stands by the sea. He is probably angry.").claims == ()


def test_quotation_marks_that_are_not_closed_open_nothing():
    assert find_quotations('He says "come here and') == []


def test_an_apostrophe_is_no_quotation_mark():
    assert find_quotations("The man's brows and the woman's eyes don't move.") == []


def test_character_errors_count_letters_only():
    assert character_error_rate("YOU LIED TO ME", "You lied to me.") == 0
    # "lied" -> "lies": one of ten letters
    assert character_error_rate("You lies to me", "You lied to me") == pytest.approx(0.1 * 10 / 11)
    assert character_error_rate("", "a") == 1
    assert character_error_rate("a", "") == 1


def test_a_part_of_a_subtitle_is_a_fair_quotation():
    assert best_match("lied to me", "You lied to me all these years") == 0
    assert best_match("thank you", "You lied to me all these years") > 0.5


def test_every_sentence_of_the_made_corpora_is_quoted_whole():
    for said in [sentence for topic in SENTENCES.values() for sentence in topic]:
        assert _told(f'In the text, the subtitle reads: "{said}"') == [("quotation", said, "positive")]
