"""What fills the columns `evidence` and `claims` of an annotation: clips measured, and the reasons graded against that.

A clip is measured where its file is, before it is answered, one after the other: memory holds one clip's sound, one
window of its pictures, and the evidence of the batch. Of a made clip the manifest's cues replace what
geometry and prosody would say, on the sides that the file has. A clip that cannot be measured keeps its answer; its
evidence says why, and its claims are null.

Both columns hold one JSON object with the version of its schema, documented in docs/annotate.md.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Any

from r1omni.core.answer_format import AnswerFormat
from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError, R1OmniError
from r1omni.core.evidence import Evidence
from r1omni.core.json_text import json_text
from r1omni.evidence.measure import MEASURING_VERSION, ClipMeasurer
from r1omni.infer.clip_answers import ClipAnswer
from r1omni.scale.archive import ListedClip, fetched
from r1omni.scoring.claim_grading import CLAIM_RULES
from r1omni.scoring.explained_answer import explain_by_evidence
from r1omni.scoring.prediction import Prediction

EVIDENCE_SCHEMA, CLAIMS_SCHEMA = 1, 1


@dataclass(frozen=True)
class MeasuredClip(Clip):
    """A clip with what was measured in it."""

    evidence: Evidence | None = None
    """None where it could not be measured."""
    why_not: str | None = None
    """Why it could not be measured, as one sentence; None where it was."""


def measuring_identity(whisper: str | None) -> dict[str, Any]:
    """Return what could change the two columns, besides clip and answer.

    Args:
        whisper: checkpoint for transcripts; None measures without.
    """
    return {
        "schemas": [EVIDENCE_SCHEMA, CLAIMS_SCHEMA],
        "measuring": MEASURING_VERSION,
        "claim_rules": CLAIM_RULES,
        "whisper": whisper,
    }


@contextmanager
def fetched_and_measured(
    clips: Sequence[ListedClip], whisper: str | None = None
) -> Iterator[list[MeasuredClip | MediaError]]:
    """Lend clips with their files on this machine and their evidence, or why a file could not be fetched.

    Args:
        clips: a batch.
        whisper: checkpoint for transcripts, folder or hub id; None measures without.

    Raises:
        ConfigError: the Whisper checkpoint cannot be loaded.
    """
    with fetched(clips) as found:
        yield [
            entry if isinstance(entry, MediaError) else _measured(entry, listed.place, whisper)
            for entry, listed in zip(found, clips, strict=True)
        ]


def evidence_columns(clip: MeasuredClip, said: ClipAnswer, answer_format: AnswerFormat) -> dict[str, str | None]:
    """Return the columns `evidence` and `claims` of a clip that was answered.

    What the model was not given of the clip counts as absent when its claims are graded.

    Args:
        clip: with its evidence.
        said: the answer.
        answer_format: reads the text.
    """
    if clip.evidence is None:
        return {"evidence": json_text({"version": EVIDENCE_SCHEMA, "error": clip.why_not}), "claims": None}
    reasoning = answer_format.parse(said.text).reasoning
    explained = explain_by_evidence(Prediction(clip.id, None, said.text, reasoning, read=said.read), clip.evidence)
    evidence = {"version": EVIDENCE_SCHEMA, "measuring": MEASURING_VERSION, **clip.evidence.to_json()}
    claims = {
        "version": CLAIMS_SCHEMA,
        "rules": CLAIM_RULES,
        "claims": [claim.to_json() for claim in explained.claims],
        "abstentions": [asdict(abstention) for abstention in explained.abstentions],
    }
    return {"evidence": json_text(evidence), "claims": json_text(claims)}


def column_counts(row: Mapping[str, Any]) -> Counter[str]:
    """Count what the two columns of a row hold: clips measured or unmeasured, and claims by their state.

    Args:
        row: of an annotation.
    """
    counts: Counter[str] = Counter()
    if row["evidence"] is not None:
        counts["clips_measured" if row["claims"] is not None else "clips_unmeasured"] += 1
    if row["claims"] is not None:
        counts.update(f"claims_{claim['state']}" for claim in json.loads(row["claims"])["claims"])
    return counts


def _measured(clip: Clip, place: str, whisper: str | None) -> MeasuredClip:
    evidence, why_not = None, None
    try:
        evidence = _measurer(whisper).measure(clip).evidence
    except (MediaError, OSError) as error:
        why_not = str(error)
    except (R1OmniError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - decoders and nets have errors of their own; a clip's never ends the run
        why_not = f"{clip.path}: could not be measured ({type(error).__name__}: {error})."
    # The name of a fetched file differs from run to run, and rows must not.
    why_not = None if why_not is None else why_not.replace(str(clip.path), place)
    known = {field.name: getattr(clip, field.name) for field in fields(Clip)}
    return MeasuredClip(**known, evidence=evidence, why_not=why_not)


@cache
def _measurer(whisper: str | None) -> ClipMeasurer:
    """Return this process's nets, loaded with the first clip."""
    return ClipMeasurer(whisper)
