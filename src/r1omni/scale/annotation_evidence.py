"""What fills the columns `evidence` and `claims` of an annotation: clips measured, and the reasons graded against that.

A clip is measured where its file is, before it is answered, one after the other: memory holds one clip's sound, a
stretch of its pictures, and the evidence of the batch. Of a made clip the manifest's cues replace what
geometry and prosody would say, on the sides that the file has. A clip that cannot be measured keeps its answer; its
evidence says why, and its claims are null. Where clips are answered in windows, each window is measured by itself, and
the claims are graded against the window that the reasons are from.

Both columns hold one JSON object with the version of its schema, documented in docs/annotate.md.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from r1omni.core.answer_format import AnswerFormat
from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError, R1OmniError
from r1omni.core.evidence import Evidence
from r1omni.core.json_text import json_text
from r1omni.core.media_read import MediaRead
from r1omni.evidence.measure import MEASURING_VERSION, ClipMeasurer
from r1omni.evidence.transcript import HEARING_VERSION
from r1omni.infer.clip_answers import ClipAnswer
from r1omni.infer.clip_windows import Split
from r1omni.infer.text_field import whisper_identity
from r1omni.scale.archive import ListedClip, fetched
from r1omni.scoring.claim_grading import CLAIM_RULES
from r1omni.scoring.explained_answer import explain_by_evidence
from r1omni.scoring.prediction import Prediction

EVIDENCE_SCHEMA, CLAIMS_SCHEMA = 1, 1


@dataclass(frozen=True)
class MeasuredClip(Clip):
    """A clip with what was measured in it."""

    measured: tuple[Evidence | str, ...] = ()
    """Of each part in which it is answered: its evidence, or a sentence that says why it could not be measured."""


def measuring_identity(whisper: str | None) -> dict[str, Any]:
    """Return what could change the two columns, besides clip and answer.

    Args:
        whisper: checkpoint for transcripts; None measures without.
    """
    return {
        "schemas": [EVIDENCE_SCHEMA, CLAIMS_SCHEMA],
        "measuring": MEASURING_VERSION,
        "claim_rules": CLAIM_RULES,
        # Its folder's name is in the transcripts' measured_by.
        "whisper": None if whisper is None else [Path(whisper).name, HEARING_VERSION, whisper_identity(whisper)],
    }


@contextmanager
def fetched_and_measured(
    clips: Sequence[ListedClip], split: Split, whisper: str | None = None
) -> Iterator[list[MeasuredClip | MediaError]]:
    """Lend clips with their files on this machine and their evidence, or why a file could not be fetched.

    Args:
        clips: a batch.
        split: gives the parts in which a clip is answered.
        whisper: checkpoint for transcripts, folder or hub id; None measures without.

    Raises:
        ConfigError: the Whisper checkpoint cannot be loaded.
    """
    with fetched(clips) as found:
        yield [
            entry if isinstance(entry, MediaError) else _measured(entry, split(entry), listed.place, whisper)
            for entry, listed in zip(found, clips, strict=True)
        ]


def evidence_columns(clip: MeasuredClip, said: ClipAnswer, answer_format: AnswerFormat) -> dict[str, str | None]:
    """Return the columns `evidence` and `claims` of a clip that was answered.

    What the model was not given of the clip, or of the window that its reasons are from, counts as absent when the
    claims are graded.

    Args:
        clip: with its evidence.
        said: the answer.
        answer_format: reads the text.
    """
    index, read = 0, said.read
    if said.answer_window is not None:
        index, read = said.answer_window, said.windows[said.answer_window].read
    return {
        "evidence": json_text(_evidence_record(clip.measured, said)),
        "claims": _claims_text(clip.measured[index], clip.id, said.text, answer_format, read),
    }


def _evidence_record(measured: Sequence[Evidence | str], said: ClipAnswer) -> dict[str, Any]:
    records = [{"error": part} if isinstance(part, str) else part.to_json() for part in measured]
    if not said.windows:
        (record,) = records
        versions = {"version": EVIDENCE_SCHEMA} | ({} if "error" in record else {"measuring": MEASURING_VERSION})
        return versions | record
    windows = [
        {"start_s": window.start_s, "stop_s": window.stop_s, **record}
        for window, record in zip(said.windows, records, strict=True)
    ]
    versions = {"version": EVIDENCE_SCHEMA, "measuring": MEASURING_VERSION}
    return versions | {"answer_window": said.answer_window, "windows": windows}


def _claims_text(
    evidence: Evidence | str, clip_id: str, text: str, answer_format: AnswerFormat, read: MediaRead
) -> str | None:
    if isinstance(evidence, str):
        return None
    reasoning = answer_format.parse(text).reasoning
    explained = explain_by_evidence(Prediction(clip_id, None, text, reasoning, read=read), evidence)
    claims = {
        "version": CLAIMS_SCHEMA,
        "rules": CLAIM_RULES,
        "claims": [claim.to_json() for claim in explained.claims],
        "abstentions": [asdict(abstention) for abstention in explained.abstentions],
    }
    return json_text(claims)


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


def _measured(clip: Clip, parts: Sequence[Clip], place: str, whisper: str | None) -> MeasuredClip:
    known = {field.name: getattr(clip, field.name) for field in fields(Clip)}
    return MeasuredClip(**known, measured=tuple(_measured_part(part, place, whisper) for part in parts))


def _measured_part(part: Clip, place: str, whisper: str | None) -> Evidence | str:
    try:
        return _measurer(whisper).measure(part).evidence
    except (MediaError, OSError) as error:
        why_not = str(error)
    except (R1OmniError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - decoders and nets have errors of their own; a clip's never ends the run
        why_not = f"{part.path}: could not be measured ({type(error).__name__}: {error})."
    # The name of a fetched file differs from run to run, and rows must not.
    return why_not.replace(str(part.path), place)


@cache
def _measurer(whisper: str | None) -> ClipMeasurer:
    """Return this process's nets, loaded with the first clip."""
    return ClipMeasurer(whisper)
