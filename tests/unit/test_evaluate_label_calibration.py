"""One calibration for clips of several label sets, over a model whose features are made up."""

from dataclasses import replace

import pytest

from r1omni.core.errors import ConfigError
from r1omni.evaluate.label_calibration import ClipsOfLabelSet, fit_on_clips
from r1omni.infer.features import Features
from r1omni.infer.prompt import Prompt, Sampling
from r1omni.scoring.calibration import LabelCalibration, fit_calibration
from small_model import LABELS, MadeUpFeatures, small_clips, small_model

MORE = (*LABELS, "fear")


def test_the_calibration_is_fitted_to_all_label_sets_and_leaves_the_model_alone() -> None:
    engine = MadeUpFeatures(*small_model())
    first, second = small_clips(9), [replace(clip, id=f"n{clip.id}") for clip in small_clips(6)]
    unread = replace(first[0], id="x-1")
    unlabelled = replace(first[1], id="free", label=None)
    groups = [ClipsOfLabelSet([unread, *first, unlabelled], LABELS), ClipsOfLabelSet(second, MORE)]
    engine.model.config.label_temperature = 7.0
    found = fit_on_clips(engine, groups, "Which?", 8)
    assert engine.model.config.label_temperature == 7.0

    rows, golds = [], []
    for clips, labels in ((first, LABELS), (second, MORE)):
        features = engine.encoder.features(clips)
        prompts = [Prompt.ask("Which?", entry) for entry in features if isinstance(entry, Features)]
        texts = [answer.text for (answer,) in engine.generator.run(prompts, Sampling(max_tokens=8))]
        rows += [list(row.values()) for row in engine.scorer.label_scores(prompts, texts, labels)]
        golds += [labels.index(clip.label) for clip in clips]
    right = [row.index(max(row)) == gold for row, gold in zip(rows, golds, strict=True)]
    expected = fit_calibration(rows, golds)
    assert (found.temperature, found.lapse_rate) == pytest.approx((expected.temperature, expected.lapse_rate), rel=1e-2)
    assert (found.num_clips, found.num_errors) == (15, 1)
    assert found.accuracy == sum(right) / 15
    assert found.mean_confidence_before == pytest.approx(
        sum(max(LabelCalibration().probabilities(row)) for row in rows) / 15, rel=1e-3
    )


def test_clips_without_a_usable_gold_label_are_refused() -> None:
    engine = MadeUpFeatures(*small_model())
    clips = small_clips(3)
    with pytest.raises(ConfigError, match="no clip with a gold label"):
        fit_on_clips(engine, [ClipsOfLabelSet([replace(clip, label=None) for clip in clips], LABELS)], "Which?", 4)
    with pytest.raises(ConfigError, match="Gold labels happy are not in the label set"):
        fit_on_clips(engine, [ClipsOfLabelSet(clips, ("sad", "angry"))], "Which?", 4)
