import numpy as np
import pytest
from sklearn import metrics as oracle

from r1omni.core.errors import ConfigError
from r1omni.core.labels import DFEW_LABELS
from r1omni.scoring.metrics import confusion, macro_f1, out_of_vocabulary_rate, recall_per_class, uar, war

LABELS = ("happy", "sad", "fear")
# happy: 4 clips, 3 right; sad: 2 clips, 1 right, 1 out of vocabulary; fear: no clip, answered once.
GOLDS = ["happy", "happy", "happy", "happy", "sad", "sad"]
PREDICTIONS = ["happy", "happy", "happy", "fear", "sad", "gloomy"]


def test_war_is_the_share_of_right_answers():
    assert war(GOLDS, PREDICTIONS) == pytest.approx(4 / 6)


def test_uar_averages_over_the_classes_present_in_the_gold():
    assert uar(GOLDS, PREDICTIONS) == pytest.approx((3 / 4 + 1 / 2) / 2)  # fear has no clip and no part in it


def test_recall_of_an_absent_class_is_none():
    assert recall_per_class(GOLDS, PREDICTIONS, LABELS) == {"happy": 3 / 4, "sad": 1 / 2, "fear": None}


def test_macro_f1_by_hand():
    # happy: TP 3, FP 0, FN 1 -> 6/7; sad: TP 1, FP 0, FN 1 -> 2/3
    assert macro_f1(GOLDS, PREDICTIONS) == pytest.approx((6 / 7 + 2 / 3) / 2)


def test_missing_and_strange_answers_are_out_of_vocabulary():
    assert out_of_vocabulary_rate([*PREDICTIONS, None, "happy"], LABELS) == pytest.approx(2 / 8)


def test_confusion_has_a_last_column_for_answers_out_of_vocabulary():
    assert confusion(GOLDS, PREDICTIONS, LABELS) == [[3, 0, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0]]


def test_metrics_over_nothing_are_none():
    assert war([], []) is None and uar([], []) is None and macro_f1([], []) is None
    assert out_of_vocabulary_rate([], LABELS) is None


def test_answers_and_golds_must_pair_up():
    with pytest.raises(ConfigError, match="one answer per clip"):
        war(["happy"], [])


def test_gold_outside_the_labels_is_refused_by_the_confusion_matrix():
    with pytest.raises(ConfigError, match="calm"):
        confusion(["calm"], ["calm"], LABELS)


def _random_answers(seed):
    rng = np.random.default_rng(seed)
    golds = rng.choice(DFEW_LABELS[:5], size=300, p=[0.5, 0.3, 0.1, 0.06, 0.04]).tolist()
    strangers = [*DFEW_LABELS, "sorrowful"]
    return golds, [gold if rng.random() < 0.5 else str(rng.choice(strangers)) for gold in golds]


@pytest.mark.parametrize("seed", range(3))
def test_metrics_agree_with_scikit_learn(seed):
    golds, predictions = _random_answers(seed)
    present = sorted(set(golds))
    assert war(golds, predictions) == pytest.approx(oracle.accuracy_score(golds, predictions))
    expected = oracle.recall_score(golds, predictions, labels=present, average="macro")
    assert uar(golds, predictions) == pytest.approx(expected)
    expected = oracle.f1_score(golds, predictions, labels=present, average="macro")
    assert macro_f1(golds, predictions) == pytest.approx(expected)
    known = [answer if answer in DFEW_LABELS else "none" for answer in predictions]
    expected = oracle.confusion_matrix(golds, known, labels=[*DFEW_LABELS, "none"])[:-1]
    assert confusion(golds, predictions, DFEW_LABELS) == expected.tolist()


def test_metrics_agree_with_torchmetrics():
    classification = pytest.importorskip("torchmetrics.functional.classification")
    import torch

    golds, predictions = _random_answers(7)
    classes = sorted(set(golds))
    columns = {name: index for index, name in enumerate([*classes, "none"])}
    target = torch.tensor([columns[gold] for gold in golds])
    answered = torch.tensor([columns.get(answer, len(classes)) for answer in predictions])
    arguments = {"num_classes": len(columns), "average": None}
    recalls = classification.multiclass_recall(answered, target, **arguments)[:-1]
    scores = classification.multiclass_f1_score(answered, target, **arguments)[:-1]
    assert uar(golds, predictions) == pytest.approx(recalls.mean().item(), abs=1e-6)
    assert macro_f1(golds, predictions) == pytest.approx(scores.mean().item(), abs=1e-6)
    assert war(golds, predictions) == pytest.approx((answered == target).float().mean().item(), abs=1e-6)
