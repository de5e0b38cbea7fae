from collections import Counter

import pytest

from r1omni.core.errors import ConfigError
from r1omni.core.labels import EMOTIONS
from r1omni.scoring.normalise import SYNONYMS, normalise
from r1omni.scoring.wheel import FAMILY_OF, SECTOR_OF, SECTOR_VALENCE, WHEEL, valence_of

# Written without looking at the table: what a reader would call pleasant or unpleasant.
PLEASANT = "happy joyful cheerful calm peaceful proud grateful amused hopeful content fearless relieved loving".split()
UNPLEASANT = (
    "sad unhappy angry furious disgust fear afraid contemptuous contempt anxious helpless disappointed worried "
    "hopeless dissatisfied displeased discouraged hateful ashamed jealous bored lonely"
).split()


@pytest.mark.parametrize("name", EMOTIONS)
def test_every_class_name_maps_to_itself_under_both_normalisers(name):
    assert normalise(name, "exact") == name
    assert normalise(name.upper() + " ", "synonym") == name


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("happiness", "happy"),
        ("Joy.", "happy"),
        ("sadness", "sad"),
        ("neutrality", "neutral"),
        ("anger", "angry"),
        ("angrily", "angry"),
        ("surprised", "surprise"),
        ("disgusted", "disgust"),
        ("fearful", "fear"),
        ("contempt", "contemptuous"),
        ("anxiety", "anxious"),
        ("helplessness", "helpless"),
        ("disappointment", "disappointed"),
        ("calmness", "calm"),
        ("worry", "worried"),
        ("**Angry**", "angry"),
        ("unhappy", "sad"),
    ],
)
def test_inflections_and_published_spellings_are_covered(word, name):
    assert normalise(word, "synonym") == name


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("happier happiest happily happiness", "happy"),
        ("sadder saddest sadly sadness sadden saddens saddened saddening", "sad"),
        ("neutrally neutrality", "neutral"),
        ("angrier angriest angrily anger angers angered angering", "angry"),
        ("surprises surprised surprising surprisingly", "surprise"),
        ("disgusts disgusted disgusting disgustedly", "disgust"),
        ("fears feared fearing fearful fearfully fearfulness", "fear"),
        ("contempt contemptuously contemptuousness", "contemptuous"),
        ("anxiously anxiousness anxiety anxieties", "anxious"),
        ("helplessly helplessness", "helpless"),
        ("disappoint disappoints disappointing disappointment disappointments disappointedly", "disappointed"),
        ("calmer calmest calms calmed calming calmly calmness", "calm"),
        ("worry worries worrying worriedly worrisome", "worried"),
    ],
)
def test_every_inflection_of_a_class_name_is_the_class(words, name):
    assert {normalise(word, "synonym") for word in words.split()} == {name}


@pytest.mark.parametrize(
    "answer", ["not happy", "happy and sad", "the person is angry", "fearless", "annoyed", "joyless"]
)
def test_sentences_and_other_shades_are_not_credited(answer):
    assert normalise(answer, "synonym") not in EMOTIONS


def test_exact_only_strips_and_lower_cases():
    assert normalise(" Happy\n", "exact") == "happy"
    assert normalise("happy.", "exact") == "happy."


def test_no_answer_stays_no_answer():
    assert normalise(None, "synonym") is None and normalise("...", "synonym") is None


def test_unknown_normaliser_names_the_known_ones():
    with pytest.raises(ConfigError, match="exact, synonym"):
        normalise("happy", "fuzzy")


def test_no_word_is_mapped_across_valence():
    assert {word: valence_of(word) for word in PLEASANT} == dict.fromkeys(PLEASANT, "positive")
    assert {word: valence_of(word) for word in UNPLEASANT} == dict.fromkeys(UNPLEASANT, "negative")
    assert {word: valence_of(word) for word in ("neutral", "surprise")} == dict.fromkeys(
        ("neutral", "surprise"), "neither"
    )
    for word, name in SYNONYMS.items():
        assert valence_of(word) == valence_of(name)


def test_every_word_occurs_once_on_the_wheel_and_names_its_family_if_it_is_the_first():
    words = Counter(word for families in WHEEL.values() for text in families.values() for word in text.split())
    assert [word for word, count in words.items() if count > 1] == []
    assert all(text.split()[0] == family for families in WHEEL.values() for family, text in families.items())
    assert set(WHEEL) == set(SECTOR_VALENCE)
    assert set(SECTOR_OF) == set(FAMILY_OF.values())
    assert set(EMOTIONS) <= set(SECTOR_OF)


OWN = ("disgusted", "scared", "joyful", "unhappy", "peaceful", "Angry ")


@pytest.mark.parametrize("normaliser", ["exact", "synonym"])
@pytest.mark.parametrize("label", OWN)
def test_the_label_set_always_wins(normaliser, label):
    assert normalise(label, normaliser, OWN) == label.strip().lower()


@pytest.mark.parametrize(
    ("answer", "label"),
    [("disgust", "disgusted"), ("fear", "scared"), ("Happiness.", "joyful"), ("sad", "unhappy"), ("anger", "angry")],
)
def test_a_synonym_becomes_the_label_of_its_family(answer, label):
    assert normalise(answer, "synonym", OWN) == label


def test_a_synonym_of_two_labels_is_neither_unless_one_is_the_class_itself():
    assert normalise("glad", "synonym", ("joyful", "cheerful")) not in ("joyful", "cheerful")
    assert normalise("glad", "synonym", ("joyful", "happy")) == "happy"


def test_a_word_outside_the_label_set_stays_outside():
    assert normalise("sad", "synonym", ("joyful", "angry")) == "sad"
