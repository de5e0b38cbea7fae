"""explanations.jsonl: the reasons of a run's answers, checked against evidence, read by the model, relied on or not.

Every answer with reasons gets its graded claims and the model's own reading of them (one prefill without a clip);
reliance takes a prefill per sentence and is measured on an even sample. Rows are appended as they come, and kept as
long as output and label set stay the same, so that a run that was killed goes on where it stopped.

What answers rest on is measured on the same sample: Shapley values (a prefill per set of sides), and the answer that
the clip gets with another clip's sound (one more answer).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.core.json_text import json_text
from r1omni.evidence.measure import MEASURING_VERSION, ClipMeasurer
from r1omni.evidence.transcript import HEARING_VERSION
from r1omni.explain.attribution import AnsweredClip, attribute, retell
from r1omni.explain.evidence_file import EvidenceFile
from r1omni.explain.explanation import MAX_NEW_TOKENS
from r1omni.explain.reading import read_alone
from r1omni.explain.reliance import measure_reliance, other_outputs
from r1omni.explain.swapped_sound import choose_donors, swap_sound
from r1omni.infer.engine import Engine
from r1omni.infer.features import NO_FEATURES, Features
from r1omni.runs.files import append_rows, read_rows, repair, write_text
from r1omni.scoring.explained_answer import ExplainedAnswer, explain_by_evidence, hash_of
from r1omni.scoring.prediction import Prediction

FILE_NAME = "explanations.jsonl"
EVIDENCE_NAME = "evidence.jsonl"


@dataclass(frozen=True)
class AnsweredCorpus:
    """What a model answered to the clips of one manifest."""

    clips: Sequence[Clip]
    """Each as it was read: the part of the file that the answer is about."""
    predictions: Sequence[Prediction]
    """One per clip, in the same order."""
    instruction: str
    """What was asked."""
    labels: Sequence[str]
    """The label set."""


def corpus_explainer(num_relied_on: int, whisper: str | None = None) -> Callable[..., None]:
    """Return what explains the answers of a run, for `evaluate.manifests`.

    Args:
        num_relied_on: answers whose reliance on their reasons is measured.
        whisper: checkpoint for transcripts, folder or hub id; None measures without.
    """
    measurer = cache(lambda: ClipMeasurer(whisper))

    def explain(
        engine: Callable[[], Engine],
        clips: Sequence[Clip],
        predictions: Sequence[Prediction],
        instruction: str,
        labels: Sequence[str],
        folder: Path,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        heard = MEASURING_VERSION if whisper is None else f"{MEASURING_VERSION}.{HEARING_VERSION} {whisper}"
        measured = EvidenceFile(folder / EVIDENCE_NAME, lambda clip: measurer().measure(clip).evidence, str(heard))
        corpus = AnsweredCorpus(clips, predictions, instruction, labels)
        explain_corpus(engine, corpus, measured, folder, num_relied_on, on_progress)

    return explain


def explain_corpus(
    engine: Callable[[], Engine],
    corpus: AnsweredCorpus,
    evidence: EvidenceFile,
    folder: Path,
    num_relied_on: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[ExplainedAnswer]:
    """Explain every answer that gives reasons, and write them beside the predictions.

    Args:
        engine: returns the engine over the model that answered; called only where rows are missing.
        corpus: the answers.
        evidence: measures the clips.
        folder: of the run.
        num_relied_on: answers whose reliance is measured: an even sample.
        on_progress: called with (answers explained, answers with reasons).

    Returns:
        One per answer with reasons whose clip could be measured, in the manifest's order.
    """
    path = folder / FILE_NAME
    repair(path)
    pairs = [
        (clip, said)
        for clip, said in zip(corpus.clips, corpus.predictions, strict=True)
        if said.text is not None and said.reasoning
    ]
    sampled = _even_sample(len(pairs), num_relied_on)
    found = _known(path, pairs, corpus.labels, sampled, evidence.version)
    pending = [place for place, (clip, _) in enumerate(pairs) if clip.id not in found]
    if pending:
        others = dict(zip(sorted(sampled), _others(engine(), pairs, sorted(sampled)), strict=True))
        size = engine().scorer.batch_size
        for start in range(0, len(pending), size):
            part = pending[start : start + size]
            explained = _explain(engine(), corpus, evidence, pairs, part, others)
            append_rows(path, [answer.to_json() for answer in explained])
            found |= {answer.id: answer for answer in explained}
            on_progress(len(pairs) - len(pending) + min(start + size, len(pending)), len(pairs))
    ordered = [found[clip.id] for clip, _ in pairs if clip.id in found]
    write_text(path, "".join(f"{json_text(answer.to_json())}\n" for answer in ordered))
    return ordered


def _even_sample(total: int, count: int) -> set[int]:
    step = max(1, -(-total // count)) if count else total + 1
    return set(range(0, total, step)) if count else set()


def _known(
    path: Path, pairs: Sequence[tuple[Clip, Prediction]], labels: Sequence[str], sampled: set[int], version: str
) -> dict[str, ExplainedAnswer]:
    """Return the rows that still hold: of the same output, labels and measuring, with reliance where it is wanted."""
    rows = {row["id"]: row for row in read_rows(path)}
    found = {}
    for place, (clip, said) in enumerate(pairs):
        row = rows.get(clip.id)
        if row is None or row["text_hash"] != hash_of(said.text or "") or row.get("evidence_version") != version:
            continue
        # Without reasons before an answer in its tags there is nothing for the model to read or to rely on.
        is_read = row["alone"] is not None
        if not is_read or (set(row["alone"]) == set(labels) and (place not in sampled or row["reliance"] is not None)):
            found[clip.id] = ExplainedAnswer.from_json(row)
    return found


def _others(engine: Engine, pairs: Sequence[tuple[Clip, Prediction]], places: Sequence[int]) -> list[str | None]:
    return other_outputs(engine.answer_format, [pairs[place][1].text or "" for place in places])


def _explain(
    engine: Engine,
    corpus: AnsweredCorpus,
    evidence: EvidenceFile,
    pairs: Sequence[tuple[Clip, Prediction]],
    places: Sequence[int],
    others: dict[int, str | None],
) -> list[ExplainedAnswer]:
    """Explain one batch; answers whose clip cannot be measured any more are left out."""
    measured = [(place, found) for place in places if (found := evidence.of(pairs[place][0])) is not None]
    explained = [
        replace(explain_by_evidence(pairs[place][1], known), evidence_version=evidence.version)
        for place, known in measured
    ]
    asked = [AnsweredClip(NO_FEATURES, corpus.instruction, pairs[place][1].text or "") for place, _ in measured]
    alone = read_alone(engine.scorer, asked, corpus.labels)
    explained = [replace(answer, alone=row) for answer, row in zip(explained, alone, strict=True)]
    relied = [index for index, (place, _) in enumerate(measured) if place in others]
    features = engine.encoder.features([pairs[measured[index][0]][0] for index in relied])
    readable = [
        (index, _as_read(entry, pairs[measured[index][0]][1]))
        for index, entry in zip(relied, features, strict=True)
        if not isinstance(entry, MediaError)
    ]
    reliance = measure_reliance(
        engine.scorer,
        [replace(asked[index], features=entry) for index, entry in readable],
        corpus.labels,
        [others[measured[index][0]] for index, _ in readable],
    )
    given = [replace(asked[index], features=entry) for index, entry in readable]
    rests_on = _rests_on(engine, given, corpus.labels, _donors(pairs, others), [measured[i][0] for i, _ in readable])
    for (index, _), row, attribution in zip(readable, reliance, rests_on, strict=True):
        explained[index] = replace(explained[index], reliance=row, attribution=attribution)
    return explained


def _donors(pairs: Sequence[tuple[Clip, Prediction]], sampled: Iterable[int]) -> dict[int, Clip]:
    """Return the clip whose sound each sampled clip gets for a try."""
    places = sorted(sampled)
    said = [pairs[place][1] for place in places]
    has_sound = [row.read is not None and row.read.sound is not None for row in said]
    chosen = choose_donors([row.answer for row in said], has_sound)
    return {place: pairs[places[donor]][0] for place, donor in zip(places, chosen, strict=True) if donor is not None}


def _rests_on(
    engine: Engine,
    given: Sequence[AnsweredClip],
    labels: Sequence[str],
    donors: Mapping[int, Clip],
    places: Sequence[int],
) -> list[dict[str, Any] | None]:
    """Return what answers rest on: Shapley values, and the answer to the clip with another one's sound."""
    retold = retell(engine.generator, given, MAX_NEW_TOKENS)
    again = [replace(entry, retold=texts) for entry, texts in zip(given, retold, strict=True)]
    attributed = attribute(engine.scorer, again, labels)
    swapped = swap_sound(engine, given, [donors.get(place) for place in places], MAX_NEW_TOKENS)
    return [
        None if found is None else found.summary() | {"swapped_sound": None if other is None else asdict(other)}
        for found, other in zip(attributed, swapped, strict=True)
    ]


def _as_read(features: Features, prediction: Prediction) -> Features:
    """Return the features without the sides that the model was not given when it answered."""
    read = prediction.read
    if read is not None and read.pictures is None:
        features = features.without("pictures")
    if read is not None and read.sound is None:
        features = features.without("sound")
    return features
