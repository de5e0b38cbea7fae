"""The evidence of a synthetic clip by its manifest alone, without reading the file: for rewards and graded answers.

What a cue means as a measurement is in `evidence.made_corpora`; here is what its maker knows besides: the length, that
one person is seen and speaks throughout, and the words in the picture. Everything else is listed as not measured.
"""

from typing import Literal

from r1omni.core.clip import Clip
from r1omni.core.evidence import EVIDENCE_NAMES, Evidence, EvidenceItem
from r1omni.evidence.item import all_unmeasured
from r1omni.evidence.made_corpora import MEASURED_BY, NOT_SAID, cue_items, has_cues
from r1omni.synth.world import CLIP_S

_LACKING: dict[str | None, Literal["pictures", "sound"]] = {"video": "sound", "audio": "pictures"}
"""Modality that the manifest says a file has, where it is one -> the side that it lacks."""


def cue_evidence(clip: Clip) -> Evidence | None:
    """Return what is known of a synthetic clip; None where its manifest holds no cues.

    Args:
        clip: of a made corpus.
    """
    if not has_cues(clip):
        return None
    items = cue_items(clip, has_pictures=True, has_sound=True, duration_s=CLIP_S)
    items += [_item("face_count", "one face", "one"), _item("speech_share", "speech", "most")]
    if clip.subtitle and clip.meta.get("subtitled"):
        items.append(_item("subtitle", clip.subtitle))
    order = list(EVIDENCE_NAMES)
    items.sort(key=lambda item: order.index(item.name))
    known = {item.name for item in items} | {"subtitle", "mark"}  # a manifest without them says that there are none
    unmeasured = all_unmeasured([name for name in order if name not in known], NOT_SAID)
    evidence = Evidence(True, True, CLIP_S, tuple(items), tuple(unmeasured))
    lacking = _LACKING.get(clip.meta.get("modality"))
    return evidence if lacking is None else evidence.without(lacking)


def _item(name: str, value: str, band: str | None = None) -> EvidenceItem:
    unit = "cue" if band is not None else ""
    return EvidenceItem(name, EVIDENCE_NAMES[name].side, value, unit, 0.0, CLIP_S, 1.0, MEASURED_BY, band)
