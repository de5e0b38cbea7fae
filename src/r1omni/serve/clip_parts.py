"""From the parts of a request to the files of one clip.

A conversation is about one clip. It may come as one part with both sides, or as pictures and sound in a part each;
sound in a part of its own takes the place of a video's. Nothing in a part is ever read as a path.
"""

import asyncio
import base64
import binascii
import re
import time
from collections.abc import Sequence

from r1omni.serve.api_schema import AudioPart, AudioUrlPart, FilePart, ImagePart, MediaPart, VideoPart
from r1omni.serve.failures import ApiError
from r1omni.serve.remote_clip import RemoteClips
from r1omni.serve.served_model import ClipFile, Source
from r1omni.serve.uploaded_files import FileStore

_DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)


class ClipParts:
    """Opens the parts of requests.

    Args:
        files: what was uploaded.
        remote: fetches URLs.
        kept_s: seconds that the features of a clip inside a request may be kept.
    """

    def __init__(self, files: FileStore, remote: RemoteClips, kept_s: float) -> None:
        self._files, self._remote, self._kept_s = files, remote, kept_s

    async def open(self, parts: Sequence[MediaPart], owner: str) -> list[ClipFile]:
        """Return the files of the clip that parts make up; none for no parts.

        Args:
            parts: all of a conversation's.
            owner: whose request it is.

        Raises:
            ApiError: parts that make no clip, that may not be fetched, or whose base64 is broken.
        """
        sources = _sources(parts)
        return [await self._open(part, source, owner) for part, source in zip(parts, sources, strict=True)]

    async def _open(self, part: MediaPart, source: Source, owner: str) -> ClipFile:
        match part:
            case FilePart(file=reference):
                if (reference.file_id is None) == (reference.file_data is None):
                    raise ApiError(
                        400, "A file part names either file_id or file_data; give one.", "invalid_value", "file"
                    )
                if reference.file_id is not None:
                    file = await self._files.get(reference.file_id, owner)
                    kept_s = max(self._kept_s, file.until_s - time.monotonic())
                    return ClipFile(file.content, source, kept_s, file.card.filename)
                return await self._read_url(reference.file_data or "", source)
            case AudioPart(input_audio=sound):
                return ClipFile(await asyncio.to_thread(_decode, sound.data), source, self._kept_s)
            case VideoPart(video_url=url) | ImagePart(image_url=url) | AudioUrlPart(audio_url=url):
                return await self._read_url(url.url, source)

    async def _read_url(self, url: str, source: Source) -> ClipFile:
        found = _DATA_URL.match(url)
        if found is not None:
            return ClipFile(await asyncio.to_thread(_decode, url, found.end()), source, self._kept_s)
        if url[:5].lower() == "data:":
            raise ApiError(400, "The data URL is not base64; write data:video/mp4;base64,...", "invalid_value", "url")
        return ClipFile(await asyncio.to_thread(self._remote.fetch, url), source, self._kept_s)


def _sources(parts: Sequence[MediaPart]) -> list[Source]:
    """Return which sides each part gives."""
    sounds = [part for part in parts if isinstance(part, (AudioPart, AudioUrlPart))]
    shown = [part for part in parts if not isinstance(part, (AudioPart, AudioUrlPart))]
    if len(sounds) > 1 or len(shown) > 1:
        raise ApiError(
            400,
            f"A conversation is about one clip: found {len(shown)} parts with pictures and {len(sounds)} with sound; "
            "send at most one of each.",
            "too_many_clips",
            "messages",
        )
    sources: list[Source] = []
    for part in parts:
        if isinstance(part, (AudioPart, AudioUrlPart)):
            sources.append("sound")
        else:
            sources.append("pictures" if sounds or isinstance(part, ImagePart) else "both")
    return sources


def _decode(text: str, start: int = 0) -> bytes:
    try:
        return base64.b64decode(text[start:], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError(
            400, f"The base64 of a part is broken ({error}); encode the clip again.", "invalid_value"
        ) from None
