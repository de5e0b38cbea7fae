"""What was measured in the training clips: read from evidence files, or from the manifest of a made corpus."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError
from r1omni.core.evidence import Evidence
from r1omni.synth.cue_evidence import cue_evidence

_MOST_NAMED = 5
"""Clips that a refusal names."""


def evidence_by_clip(clips: Sequence[Clip], files: Sequence[Path]) -> Mapping[str, Evidence]:
    """Return what was measured in each clip.

    Args:
        clips: whose evidence is needed.
        files: JSON lines of `id` and what `Evidence.to_json` returns; a clip that is in none of them is taken by the
            true cues of its manifest.

    Raises:
        ConfigError: a file cannot be read, or there is no evidence for a clip.
    """
    read = {clip_id: evidence for file in files for clip_id, evidence in _read(file).items()}
    found = {clip.id: read.get(clip.id) or cue_evidence(clip) for clip in clips}
    lacking = [clip_id for clip_id, evidence in found.items() if evidence is None]
    if lacking:
        named = ", ".join(lacking[:_MOST_NAMED]) + (", ..." if len(lacking) > _MOST_NAMED else "")
        raise ConfigError(
            f"{len(lacking)} of {len(found)} training clips have no evidence ({named}), which the grounding reward "
            "needs; measure them and name the file in evidence, or set rewards.grounding to 0"
        )
    return {clip_id: evidence for clip_id, evidence in found.items() if evidence is not None}


def _read(file: Path) -> dict[str, Evidence]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"evidence: {file} cannot be read ({error.strerror}); name a file of JSON lines") from error
    found = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            found[str(record["id"])] = Evidence.from_json(record)
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"evidence: {file}, line {number}: {error}; expected an object with the clip's id and its evidence"
            ) from error
    return found
