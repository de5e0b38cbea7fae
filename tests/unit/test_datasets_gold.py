"""An adapter's gold answer is correct for the scorer."""

import pytest

from r1omni.core.instruction import format_answer, parse_answer
from r1omni.core.labels import DFEW_LABELS, EMOTIONS, MAFW_LABELS, RAVDESS_LABELS
from r1omni.datasets import counts
from r1omni.datasets.names import emotion_name, known_emotion
from r1omni.scoring.grade import grade
from r1omni.scoring.rewards import PAPER_REWARDS, REWARDS

PUBLISHED_CLASSES = {
    "mafw": "anger disgust fear happiness neutral sadness surprise contempt anxiety helplessness disappointment",
    "meld": "anger joy sadness neutral disgust fear surprise",
    "mer": "neutral angry happy sad worried surprise",
    "ravdess": "neutral calm happy sad angry fearful disgust surprised",
    "r1-omni": "happy surprise neutral angry disgust sad fear contemptuous disappointed helpless anxious",
}


@pytest.mark.parametrize("corpus", PUBLISHED_CLASSES)
def test_the_gold_answer_of_every_published_class_is_right(corpus: str) -> None:
    labels = [known_emotion(word, corpus) for word in PUBLISHED_CLASSES[corpus].split()]
    assert len(set(labels)) == len(labels)
    for label in labels:
        answer = parse_answer(format_answer("His brows rise.", label))
        assert all(REWARDS[name](answer, label, labels, None) == 1.0 for name in PAPER_REWARDS)
        assert grade(parse_answer(label), label, labels).correct


def test_our_names_name_themselves() -> None:
    assert [emotion_name(name) for name in EMOTIONS] == list(EMOTIONS)


@pytest.mark.parametrize(
    ("published", "labels"),
    [(counts.DFEW, DFEW_LABELS), (counts.MAFW_SINGLE, MAFW_LABELS), (counts.RAVDESS_SPEECH, RAVDESS_LABELS)],
)
def test_published_counts_add_up(published: dict[str, int], labels: tuple[str, ...]) -> None:
    assert sum(published[label] for label in labels) == published["all"]
    folds = [count for key, count in published.items() if key.startswith("fold") and key.endswith("test")]
    assert sum(folds) == published["all"]
    trains = [count for key, count in published.items() if key.startswith("fold") and key.endswith("train")]
    for train, test in zip(trains, folds, strict=False):
        assert train + test == published["all"]


def test_counts_of_the_other_corpora_add_up() -> None:
    for published in (counts.CREMA_D, counts.RAVDESS_SONG):
        folds = sum(count for key, count in published.items() if key.startswith("fold"))
        classes = sum(count for key, count in published.items() if key in EMOTIONS)
        assert folds == classes == published["all"]
    for part in ("train", "test"):
        assert sum(count for key, count in counts.MELD.items() if key.startswith(f"{part} ")) == counts.MELD[part]
    assert sum(count for key, count in counts.MER2023.items() if key.startswith("test1 ")) == counts.MER2023["test1"]
