"""One clip's explanation: the answer, claims of its reasons against what was measured, and what it rests on.

    clip -> answer -> claims, graded by evidence -> what the reasons alone imply -> attribution -> Explanation

`explain_clip` is the way there from a file; `explain_decoded` goes on from arrays and measurements, for the server,
whose clips are opened elsewhere. `Explanation.to_json` is what both give out, and what the page is laid out from.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from r1omni.core.clip import Answer, Clip, Modality
from r1omni.core.evidence import Evidence
from r1omni.core.instruction import LABEL_INSTRUCTION
from r1omni.core.labels import MAFW_LABELS
from r1omni.core.media_read import MediaRead
from r1omni.evidence.measure import Measurement
from r1omni.explain.attribution import AnsweredClip, Attribution, attribute, retell
from r1omni.explain.clip_tracks import Tracks, clip_tracks, distinct_frames
from r1omni.explain.reading import read_alone
from r1omni.explain.time_spans import leave_out_spans, num_spans
from r1omni.infer.engine import Engine
from r1omni.infer.features import NO_FEATURES, ClipText, Features
from r1omni.infer.prompt import Prompt, Sampling
from r1omni.media.decode import Media, load_clip
from r1omni.scoring.claim_grading import GradedClaim, grade_claims
from r1omni.scoring.claims import Abstention, read_reasons
from r1omni.scoring.coherence import ReasonsFit, reasons_fit

Measure = Callable[[Clip, Modality], Measurement]
"""Measures a clip: `ClipMeasurer.measure`."""
MAX_NEW_TOKENS = 512


@dataclass(frozen=True)
class Question:
    """What is asked about a clip."""

    instruction: str | None = None
    """None asks for reasons and an answer in the model's own answer format."""
    labels: Sequence[str] = MAFW_LABELS
    """The label set of the probabilities."""
    max_new_tokens: int = MAX_NEW_TOKENS
    """Limit of an answer."""


@dataclass(frozen=True)
class Explanation:
    """All that is known about one answer."""

    clip: Clip
    read: MediaRead
    """What the model was given of the clip."""
    words: ClipText | None
    """The words that its prompt had as a field; None without that field."""
    answer: Answer
    probabilities: dict[str, float]
    """Label -> how likely it was after the reasons; they sum to 1."""
    alone: dict[str, float] | None
    """The same when the model gets its own reasons and neither pictures nor sound; None without reasons."""
    fit: ReasonsFit
    """What the reasons imply by their words, and whether that is the answer."""
    evidence: Evidence
    claims: tuple[GradedClaim, ...]
    """In the order of the reasoning."""
    abstentions: tuple[Abstention, ...]
    attribution: Attribution | None
    """None where the output holds no answer."""
    tracks: Tracks
    pictures: np.ndarray | None = None
    """uint8 [frames, height, width, 3], the frames of `tracks`; None without pictures."""

    @property
    def counts(self) -> dict[str, int]:
        """State -> number of claims, and the number of abstentions."""
        states = [claim.state for claim in self.claims]
        named = {state: states.count(state) for state in ("supported", "contradicted", "unverifiable")}
        return named | {"abstentions": len(self.abstentions)}

    def to_json(self) -> dict[str, Any]:
        """Return everything but the pictures as JSON values."""
        return {
            "id": self.clip.id,
            "path": self.clip.path.name,
            "gold": self.clip.label,
            "read": self.read.to_json(),
            "remarks": self.read.remarks(),
            "words": None if self.words is None else {"label": self.words.label, "text": self.words.text},
            "text": self.answer.text,
            "reasoning": self.answer.reasoning,
            "answer": self.answer.answer,
            "well_formed": self.answer.well_formed,
            "probabilities": self.probabilities,
            "reasons": {
                "implied": self.fit.implied.label,
                "implied_by": self.fit.implied.source,
                "agrees": self.fit.agrees,
                "read_by_model": self.alone,
            },
            "counts": self.counts,
            "claims": [{"number": place} | graded.to_json() for place, graded in enumerate(self.claims, start=1)],
            "abstentions": [asdict(abstention) for abstention in self.abstentions],
            "evidence": self.evidence.to_json(),
            "attribution": None if self.attribution is None else self.attribution.to_json(),
            "tracks": self.tracks.to_json(),
        }


def explain_clip(engine: Engine, measure: Measure, clip: Clip, question: Question | None = None) -> Explanation:
    """Answer a clip and explain the answer.

    The model is computed in the calling thread, which must be the one that owns it.

    Args:
        engine: the loaded model.
        measure: measures the clip, such as `ClipMeasurer().measure`.
        clip: file with pictures, sound or both, and its part; cues of a made corpus in its `meta` count as evidence.
        question: what is asked; None asks for reasons and an answer.

    Raises:
        MediaError: the clip cannot be read.
    """
    encoder = engine.encoder
    media = load_clip(clip, num_frames=encoder.num_frames, modality=encoder.modality, max_sound_s=encoder.heard_s)
    measured = measure(clip, encoder.modality)
    words = None if encoder.read_text is None else encoder.read_text(clip)
    return explain_decoded(engine, clip, media, measured.evidence, clip_tracks(clip, media, measured), words, question)


def explain_decoded(
    engine: Engine,
    clip: Clip,
    media: Media,
    evidence: Evidence,
    tracks: Tracks,
    words: ClipText | None = None,
    question: Question | None = None,
) -> Explanation:
    """Answer a clip that was decoded and measured, and explain the answer.

    The model is computed in the calling thread, which must be the one that owns it.

    Args:
        engine: the loaded model.
        clip: what the clip is called, and its part; the file is not opened.
        media: as the engine's encoder reads it.
        evidence: what was measured.
        tracks: what is drawn of it.
        words: of the clip, a field of the prompt; None has no such field.
        question: what is asked; None asks for reasons and an answer.
    """
    inputs = engine.processor.process_media(media)
    features = replace(engine.encoder.encode([inputs])[0], read=media.read, text=words)
    question = question or Question()
    answer, probabilities, alone = _answer(engine, features, question)
    reasons = read_reasons(answer.reasoning or "")
    start_s = clip.start_s or 0.0
    return Explanation(
        clip,
        media.read,
        words,
        answer,
        probabilities,
        alone,
        reasons_fit(answer.reasoning, answer.answer, question.labels),
        evidence,
        tuple(grade_claims(reasons.claims, evidence)),
        reasons.abstentions,
        _attribution(engine, features, inputs, media, start_s, answer, question),
        tracks,
        None if media.frames is None else media.frames[distinct_frames(media)],
    )


def _instruction(engine: Engine, question: Question) -> str:
    return question.instruction or engine.answer_format.request(LABEL_INSTRUCTION)


def _answer(
    engine: Engine, features: Features, question: Question
) -> tuple[Answer, dict[str, float], dict[str, float] | None]:
    """Answer, and read the labels' probabilities with the clip and from the reasons alone."""
    prompt = Prompt.ask(_instruction(engine, question), features)
    ((completion,),) = engine.generator.run([prompt], Sampling(max_tokens=question.max_new_tokens))
    answer = engine.answer_format.parse(completion.text)
    (probabilities,) = engine.scorer.label_probabilities([prompt], [completion.text], question.labels)
    given = AnsweredClip(NO_FEATURES, _instruction(engine, question), completion.text)
    (alone,) = read_alone(engine.scorer, [given], question.labels)
    return answer, probabilities, alone


def _attribution(
    engine: Engine,
    features: Features,
    inputs: Mapping[str, Tensor],
    media: Media,
    start_s: float,
    answer: Answer,
    question: Question,
) -> Attribution | None:
    given = AnsweredClip(features, _instruction(engine, question), answer.text)
    if answer.answer is not None:
        (retold,) = retell(engine.generator, [given], question.max_new_tokens)
        given = replace(given, retold=retold)
    count = num_spans(given.clip_players, given.num_prefills)
    left_out = leave_out_spans(engine.encoder, features, inputs, count, media.frame_times_s, start_s)
    return attribute(engine.scorer, [replace(given, left_out=left_out)], question.labels)[0]
