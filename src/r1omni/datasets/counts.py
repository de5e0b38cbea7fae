"""How many clips the published releases contain, and how a release on disk differs.

Source: counted from the split files of MAE-DFER, S2D, HiCMAE and MERTools, and the name conventions of RAVDESS and
CREMA-D; DFEW and MAFW folds are the five published ones. Unconfirmed counts are left out.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from r1omni.core.labels import DFEW_LABELS, RAVDESS_LABELS


def _folds(pairs: Sequence[tuple[int, int]]) -> dict[str, int]:
    numbered = list(enumerate(pairs, start=1))
    train = {f"fold {k} train": train for k, (train, _) in numbered}
    return {"all": sum(test for _, test in pairs)} | train | {f"fold {k} test": test for k, (_, test) in numbered}


DFEW: dict[str, int] = (
    _folds([(9356, 2341), (9356, 2341), (9357, 2340), (9358, 2339), (9361, 2336)])
    | dict(zip(DFEW_LABELS, (2445, 1894, 2669, 2173, 1469, 145, 902), strict=True))
    | {
        f"fold 1 test {label}": count
        for label, count in zip(DFEW_LABELS, (489, 379, 534, 435, 294, 29, 181), strict=True)
    }
)

MAFW_SINGLE: dict[str, int] = _folds([(7333, 1839), (7335, 1837), (7339, 1833), (7340, 1832), (7341, 1831)]) | {
    "sad": 1470,
    "angry": 1390,
    "happy": 1242,
    "neutral": 1138,
    "surprise": 1072,
    "anxious": 916,
    "disgust": 639,
    "fear": 625,
    "helpless": 262,
    "contemptuous": 236,
    "disappointed": 182,
}
MAFW_SINGLE_CAPTIONS: dict[str, int] = _folds(
    [(6423, 1611), (6425, 1609), (6429, 1605), (6429, 1605), (6430, 1604)]
) | {"neutral": 0}
MAFW_COMPOUND: dict[str, int] = _folds([(7178, 1818), (7187, 1809), (7198, 1798), (7208, 1788), (7213, 1783)]) | {
    "classes": 43
}
MAFW_COMPOUND_CAPTIONS: dict[str, int] = {"all": 7858}

# 60 clips per actor (neutral has no strong intensity: 4 + 7 x 8), 24 actors in 6 folds of 4.
RAVDESS_SPEECH: dict[str, int] = (
    {"all": 1440} | {f"fold {k} test": 240 for k in range(1, 7)} | dict.fromkeys(RAVDESS_LABELS, 192) | {"neutral": 96}
)
# 44 clips per actor (4 neutral + 5 x 8: no disgust, no surprise); actor 18, in fold 5, did not sing.
RAVDESS_SONG: dict[str, int] = (
    {"all": 1012}
    | {f"fold {k} test": 132 if k == 5 else 176 for k in range(1, 7)}
    | dict.fromkeys(("calm", "happy", "sad", "angry", "fear"), 184)
    | {"neutral": 92}
)

CREMA_D: dict[str, int] = (
    {"all": 7442}
    | {f"fold {k} test": count for k, count in enumerate((1463, 1470, 1476, 1476, 1557), start=1)}
    | dict.fromkeys(("angry", "disgust", "fear", "happy", "sad"), 1271)
    | {"neutral": 1087}
)

_MELD_LABELS = ("angry", "happy", "sad", "neutral", "disgust", "fear", "surprise")
MELD: dict[str, int] = (
    {"train": 9989, "val": 1109, "test": 2610}
    | {
        f"train {label}": count
        for label, count in zip(_MELD_LABELS, (1109, 1743, 683, 4710, 271, 268, 1205), strict=True)
    }
    | {f"test {label}": count for label, count in zip(_MELD_LABELS, (345, 402, 208, 1256, 68, 50, 281), strict=True)}
)

MOSEI: dict[str, int] = {"train": 16326, "val": 1871, "test": 4659, "test not zero": 3634}

MER2023: dict[str, int] = {"train": 3373, "test1": 411, "test2": 412, "test3": 834} | {
    f"test1 {label}": count
    for label, count in {"worried": 57, "happy": 93, "neutral": 88, "sad": 50, "angry": 105, "surprise": 18}.items()
}
MER2025: dict[str, int] = {"track 1": 7369, "mercaptionplus": 31327, "ovmerd": 332}

EMER_V1: dict[str, int] = {"all": 100}
EMER_V2: dict[str, int] = {"all": 332}
OV_MERD: dict[str, int] = {"all": 332, "labels": 236}
OV_MERD_PLUS: dict[str, int] = {"all": 532}


def tally(labels: Iterable[str | None], folds: Iterable[int | None], num_folds: int) -> dict[str, int]:
    """Count clips in total, per label, and per fold and label.

    Args:
        labels: one per clip.
        folds: one per clip: the fold whose test part holds it.
        num_folds: number of folds; a fold without clips counts 0.
    """
    pairs = list(zip(labels, folds, strict=True))
    found: Counter[str] = Counter({f"fold {k} test": 0 for k in range(1, num_folds + 1)})
    found["all"] = len(pairs)
    for label, fold in pairs:
        if label is not None:
            found[label] += 1
        if fold is not None:
            found[f"fold {fold} test"] += 1
            found[f"fold {fold} test {label}"] += 1
    return dict(found)


def differences(corpus: str, found: Mapping[str, int], published: Mapping[str, int]) -> list[str]:
    """Return one sentence that names every difference, or nothing if the counts agree.

    Args:
        corpus: its name in the sentence.
        found: counts on disk; absent keys count 0.
        published: the counts to compare with.
    """
    parts = []
    for key, count in published.items():
        if (here := found.get(key, 0)) != count:
            side = "fewer" if here < count else "more"
            parts.append(f"{key} {here:,} against {count:,} ({abs(here - count):,} {side})")
    return [f"{corpus} differs from the published counts: {'; '.join(parts)}"] if parts else []
