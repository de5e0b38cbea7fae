"""evidence.jsonl: what was measured in the clips of a run, cached by content.

A line holds the clip's id, the key of what was measured (the file's bytes, the part of it, the version of the
measuring), and the evidence. A clip whose key is there is not measured again, under whichever id or path it comes; of a
made corpus the manifest's cues are the evidence.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.core.evidence import Evidence
from r1omni.media.folder import content_files
from r1omni.runs.file_hashes import FileHashes
from r1omni.runs.files import append_rows, read_rows, repair
from r1omni.synth.cue_evidence import cue_evidence

Measure = Callable[[Clip], Evidence]
"""Measures one clip; raises MediaError where it cannot be read."""


class EvidenceFile:
    """The evidence of a run's clips.

    Args:
        path: the file; need not exist.
        measure: measures a clip that has no cues and no line.
        version: names how clips are measured; lines of another version are not used.
    """

    def __init__(self, path: Path, measure: Measure, version: str) -> None:
        self.path, self.version = path, version
        self._measure = measure
        self._hashes = FileHashes(None)
        repair(path)
        rows = read_rows(path)
        self._by_key: dict[str, Mapping[str, Any]] = {row["key"]: row for row in rows}
        self._written = {(row["id"], row["key"]) for row in rows}

    def of(self, clip: Clip) -> Evidence | None:
        """Return the evidence of a clip, measured now or before; None where it cannot be read.

        Args:
            clip: the clip.
        """
        cues = cue_evidence(clip)
        if cues is not None:
            self._keep(clip, f"manifest cues of {clip.id} version {self.version}", cues)
            return cues
        try:
            key = self._key(clip)
            known = self._by_key.get(key)
            evidence = self._measure(clip) if known is None else Evidence.from_json(known)
        except (MediaError, OSError):
            return None
        self._keep(clip, key, evidence)
        return evidence

    def of_all(self, clips: Sequence[Clip]) -> list[Evidence | None]:
        """Return the evidence of clips, in their order.

        Args:
            clips: any number.
        """
        return [self.of(clip) for clip in clips]

    def _key(self, clip: Clip) -> str:
        files = [self._hashes.sha256(path) for path in content_files(clip.path)]
        content = files[0] if len(files) == 1 else hashlib.sha256("\n".join(files).encode()).hexdigest()
        rate = clip.meta.get("frame_rate_fps")
        return f"{content} {clip.start_s}-{clip.stop_s}{'' if rate is None else f' {rate} fps'} version {self.version}"

    def _keep(self, clip: Clip, key: str, evidence: Evidence) -> None:
        if (clip.id, key) in self._written:
            return
        row = {"id": clip.id, "key": key, **evidence.to_json()}
        append_rows(self.path, [row])
        self._by_key[key] = row
        self._written.add((clip.id, key))
