"""One pass of the towers over manifests, whose features stay in the cache: what `r1omni features` runs.

Training and evaluation find them there, as long as they read clips the same way: same towers, frames, modality and
number format. A clip whose features are there already passes no tower again, so a pass that was killed goes on.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from r1omni.config.feature_run import FeatureConfig
from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.datasets.manifest import read_manifest
from r1omni.infer.engine import Engine

EncodeClips = Callable[[Iterable[Clip]], Iterator[MediaError | None]]
"""Leaves each clip's features in the cache; yields why it could not be read, or None, in the clips' order."""


def keep_features(
    run: FeatureConfig, encode: EncodeClips, on_progress: Callable[[int, int], None] = lambda num_done, num_clips: None
) -> dict[str, Any]:
    """Leave the features of every clip of the manifests in the cache.

    Args:
        run: whose towers read what.
        encode: see `features_here`.
        on_progress: called with clips done and clips in all.

    Returns:
        Counts: `num_clips`, `num_failed`, and `failures` by kind.

    Raises:
        ManifestError: a manifest cannot be read.
    """
    clips = [clip for manifest in run.data for clip in read_manifest(manifest)]
    failures: Counter[str] = Counter()
    for number, error in enumerate(encode(clips), start=1):
        if error is not None:
            failures[error.kind] += 1
        on_progress(number, len(clips))
    return {"num_clips": len(clips), "num_failed": failures.total(), "failures": dict(sorted(failures.items()))}


def features_here(engine: Engine) -> EncodeClips:
    """Return what encodes clips in this process.

    Args:
        engine: with its cache.
    """

    def encode(clips: Iterable[Clip]) -> Iterator[MediaError | None]:
        for features in engine.encoder.stream(clips):
            yield features if isinstance(features, MediaError) else None

    return encode
