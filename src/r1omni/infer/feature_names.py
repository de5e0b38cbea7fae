"""What a clip's features are called in the cache: the hash of everything that shapes them, and of nothing else.

    both sides    what the clip's files hold, start and stop, the tower's fingerprint, the number format, and the
                  versions of the decoding code and of the entries
    pictures      the image processor's settings, aspect and padding, the number of frames, a folder's frame rate
    sound         the feature extractor's settings, the seconds heard, the pooling, whether silence is invented

The modality asked for, the language model, batches and threads are left out: they shape nothing.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from r1omni.core.clip import Clip
from r1omni.infer.feature_cache import ENTRY_VERSION
from r1omni.infer.features import Side
from r1omni.media.decode import DECODING_VERSION
from r1omni.media.folder import FRAME_RATE_FPS, picture_files, sound_file
from r1omni.model.processing import PAD_GREY, HumanOmniProcessor
from r1omni.runs.file_hashes import FileHashes


class FeatureNames:
    """Names of clips' features.

    Args:
        shared: side -> all that shapes the features of every clip alike, the file apart; `feature_names` makes it.
        hashes: what files hold.
    """

    def __init__(self, shared: Mapping[Side, str], hashes: FileHashes) -> None:
        self.shared, self._hashes = dict(shared), hashes

    def of(self, clip: Clip) -> dict[Side, str]:
        """Return the names of a clip's two sides; its files are hashed where their hashes are not remembered.

        Args:
            clip: the clip.

        Raises:
            OSError: a file cannot be read.
        """
        return self._names(clip, self._hashes.sha256)

    def remembered(self, clip: Clip) -> dict[Side, str] | None:
        """Return the names without reading a file; None where its hash is not remembered.

        Args:
            clip: the clip.
        """

        def known(path: Path) -> str:
            if (digest := self._hashes.remembered(path)) is None:
                raise FileNotFoundError(path)
            return digest

        try:
            return self._names(clip, known)
        except OSError:
            return None

    def _names(self, clip: Clip, sha256: Callable[[Path], str]) -> dict[Side, str]:
        part = [clip.start_s, clip.stop_s]
        content: dict[Side, list[object]]
        if clip.path.is_dir():
            sound = sound_file(clip.path)
            rate_fps = clip.meta.get("frame_rate_fps", FRAME_RATE_FPS)
            content = {
                "pictures": ["folder", *part, rate_fps, *_each(picture_files(clip.path), sha256)],
                "sound": ["folder", *part, *_each([sound] if sound else [], sha256)],
            }
        else:
            whole = sha256(clip.path)
            content = {"pictures": [*part, whole], "sound": [*part, whole]}
        return {
            side: hashlib.sha256(f"{shared}|{content[side]!r}".encode()).hexdigest()
            for side, shared in self.shared.items()
        }


def feature_names(
    fingerprints: Mapping[Side, str],
    processor: HumanOmniProcessor,
    *,
    num_frames: int,
    sound_is_invented: bool,
    audio_pool: int,
    dtypes: Mapping[Side, torch.dtype],
    hashes: FileHashes,
) -> FeatureNames:
    """Return the names for the towers and the preprocessing as they are now.

    Args:
        fingerprints: of the tower of each side.
        processor: prepares what the towers read.
        num_frames: frames sampled from a clip.
        sound_is_invented: sound is not read, and silence is encoded in its place.
        audio_pool: encoder steps averaged into one token.
        dtypes: number format of the features of each side.
        hashes: what files hold.
    """
    pictures, sound = processor.image_processor, processor.feature_extractor
    heard = [sound.n_samples / sound.sampling_rate, audio_pool, processor.invents_silence, sound_is_invented]
    shapes: dict[Side, list[object]] = {
        "pictures": [_settings(pictures.to_dict()), processor.aspect, PAD_GREY, num_frames],
        "sound": [_settings(sound.to_dict()), *heard],
    }
    shared: dict[Side, str] = {
        side: repr([side, DECODING_VERSION, ENTRY_VERSION, fingerprints[side], str(dtypes[side]), *shape])
        for side, shape in shapes.items()
    }
    return FeatureNames(shared, hashes)


def _each(paths: Sequence[Path], sha256: Callable[[Path], str]) -> list[str]:
    return [sha256(path) for path in paths]


def _settings(values: Mapping[str, object]) -> str:
    return repr(sorted((key, str(value)) for key, value in values.items()))
