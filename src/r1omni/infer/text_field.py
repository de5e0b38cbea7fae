"""The words of a clip as a field of its prompt: from the manifest, by OCR, or by Whisper; off by default.

What is measured is remembered for each file as long as it does not change, so an epoch or a second run costs nothing.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from r1omni.config.sections import EngineSection
from r1omni.core.clip import Clip, Modality
from r1omni.core.errors import ConfigError
from r1omni.evidence.clip_text import ClipTextReader, MeasuredText
from r1omni.evidence.measure import MEASURING_VERSION
from r1omni.evidence.transcript import HEARING_VERSION
from r1omni.infer.features import ClipText, Side
from r1omni.media.folder import content_files
from r1omni.runs.file_hashes import FileHashes, FileStamp, shared_file_hashes

ReadText = Callable[[Clip], ClipText | None]
"""Returns a clip's words; None where it has none."""

_SIDE: dict[MeasuredText, Side] = {"subtitles": "pictures", "transcript": "sound"}
_NOT_READ: dict[Side, Modality] = {"pictures": "audio", "sound": "video"}


def text_field(settings: EngineSection, hashes: FileHashes | None = None) -> ReadText | None:
    """Return what reads the words of clips; None where prompts have no such field.

    Args:
        settings: the engine's section of a configuration.
        hashes: remembers what was measured; None takes what the whole package shares.

    Raises:
        ConfigError: a package is missing, or there is no such Whisper checkpoint.
    """
    source = settings.text_field
    if source == "none":
        return None
    if source == "manifest":
        return lambda clip: None if not clip.subtitle else ClipText("Subtitle", clip.subtitle)
    side = _SIDE[source]
    if settings.modality == _NOT_READ[side]:
        raise ConfigError(
            f"text_field {source!r} is read from the {side}, which modality {settings.modality!r} leaves out; choose "
            "another text_field, or modality auto"
        )
    reader, remembered = ClipTextReader(source, settings.whisper), hashes or shared_file_hashes()
    method = f"{source}|{whisper_identity(settings.whisper)}|{_version(source)}"

    def read(clip: Clip) -> ClipText | None:
        stamps = [FileStamp.of(path) for path in content_files(clip.path)] if clip.path.exists() else []
        part = f"{method}|{clip.start_s}|{clip.stop_s}|{clip.meta.get('frame_rate_fps')}"
        text = remembered.derived(part, stamps, lambda: reader.read(clip))
        return ClipText("Subtitle" if source == "subtitles" else "Transcript", text, side) if text else None

    return read


def text_field_identity(settings: EngineSection) -> dict[str, Any]:
    """Return what of the field could change an answer, for the identity of a run; empty without a field.

    Args:
        settings: the engine's section of a configuration.
    """
    if settings.text_field == "none":
        return {}
    measured = {} if settings.text_field == "manifest" else {"text_version": _version(settings.text_field)}
    heard = {} if settings.whisper is None else {"whisper": whisper_identity(settings.whisper)}
    return {"text_field": settings.text_field, **measured, **heard}


def _version(source: MeasuredText) -> str | int:
    return f"{MEASURING_VERSION}.{HEARING_VERSION}" if source == "transcript" else MEASURING_VERSION


def whisper_identity(whisper: str | None) -> str | list[str] | None:
    """Return the hashes of a folder's weights, or a hub id, for the identity of a run.

    Args:
        whisper: a Whisper checkpoint; None gives None.
    """
    if whisper is None or not Path(whisper).is_dir():
        return whisper
    return [shared_file_hashes().sha256(path) for path in sorted(Path(whisper).glob("*.safetensors"))]
