"""The synthetic corpora: which clips they hold, with which labels, and writing them in parallel.

    dfew-like      seven classes, DFEW's imbalance; shortcuts; crowd-like errors in the training labels
    mafw-like      eleven classes, MAFW's imbalance; shortcuts; crowd-like errors in the training labels
    ravdess-like   eight classes, balanced, test only: another look, other voices, fixed sentences, no shortcuts
    emer-like      reasoned examples for the cold start
    humanomni-like faces and voices without an emotion, both looks, captioned by their cues, with rendering parameters
                   as targets for the towers; stands in for HumanOmni's pretraining data
    dfew-like-swapped, dfew-like-unbiased
                   controls for dfew-like: its shortcuts lead to another emotion, or nowhere
    dfew-like-in-pictures, dfew-like-in-sound
                   controls for attribution, balanced, test only: one side expresses the emotion, the cues of the other
                   one are drawn whatever it is; the words are in the sound alone, no subtitle repeats them in the
                   pictures

Every clip is drawn from a generator of its own, `[seed, corpus, index]`, so a corpus does not depend on the number of
processes, and a killed run resumes where it stopped. The ground truth of a clip is in `meta`; models see it only in the
reasoning of emer-like and the captions of humanomni-like.
"""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np

from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError
from r1omni.core.labels import DFEW_LABELS, MAFW_LABELS, RAVDESS_LABELS, Emotion
from r1omni.datasets.manifest import write_manifest
from r1omni.runs.files import replaced_file, sweep
from r1omni.synth.acting import face_pose, voice_style
from r1omni.synth.cast import FILM_VOICES, STUDIO_VOICES, Cast, cast_clip, dressed, make_cast
from r1omni.synth.render import ClipSpec, render_clip
from r1omni.synth.scene import LOOKS
from r1omni.synth.words import FIXED_SENTENCES, SENTENCES, describe, reason
from r1omni.synth.world import SIDE_CHANNELS, Noise, crowd_label, express, random_cues

FILM_LOOKS = ("film", "film-warm", "film-cool")


@dataclass(frozen=True)
class CorpusKind:
    """What distinguishes one synthetic corpus from another."""

    labels: tuple[Emotion, ...]
    """Its classes; empty for a corpus without emotions."""
    counts: tuple[int, ...] = ()
    """Relative frequency of each class; empty for balanced."""
    looks: tuple[str, ...] = FILM_LOOKS
    voices: tuple[str, ...] = FILM_VOICES
    shortcut: float = 0.0
    """For each of room, clothing and speaker, the probability that the emotion's habit decides it."""
    swapped: bool = False
    """Each emotion has the habit of the next one: a model that follows the shortcut answers wrongly."""
    emotion_in: Literal["pictures", "sound"] | None = None
    """The only side that expresses the emotion; the words are in the sound. None: both do."""
    fixed_sentences: bool = False
    subtitled: float = 1.0
    """Share of the clips with a burned-in subtitle."""
    test_share: float = 0.0
    """Share of the clips in the test split; its labels are clean."""
    val_share: float = 0.0
    """Share of the clips in the validation split; its labels have the same errors as in training."""


_DFEW_COUNTS = (2445, 1894, 2669, 2173, 1469, 145, 902)

CORPORA: dict[str, CorpusKind] = {
    "dfew-like": CorpusKind(DFEW_LABELS, _DFEW_COUNTS, shortcut=0.35, test_share=0.4, val_share=0.1),
    "mafw-like": CorpusKind(
        MAFW_LABELS,
        (1390, 639, 625, 1242, 1138, 1470, 1072, 236, 916, 262, 182),
        shortcut=0.35,
        test_share=0.4,
        val_share=0.1,
    ),
    "ravdess-like": CorpusKind(
        RAVDESS_LABELS, looks=("studio",), voices=STUDIO_VOICES, fixed_sentences=True, subtitled=0.0, test_share=1.0
    ),
    "emer-like": CorpusKind((*MAFW_LABELS, "calm")),
    "humanomni-like": CorpusKind(
        (), looks=(*FILM_LOOKS, "studio", "studio"), voices=(*FILM_VOICES, *STUDIO_VOICES), subtitled=0.5
    ),
    "dfew-like-swapped": CorpusKind(DFEW_LABELS, _DFEW_COUNTS, shortcut=0.35, swapped=True, test_share=1.0),
    "dfew-like-unbiased": CorpusKind(DFEW_LABELS, _DFEW_COUNTS, test_share=1.0),
    "dfew-like-in-pictures": CorpusKind(DFEW_LABELS, emotion_in="pictures", subtitled=0.0, test_share=1.0),
    "dfew-like-in-sound": CorpusKind(DFEW_LABELS, emotion_in="sound", subtitled=0.0, test_share=1.0),
}

THOROUGH_SHARE = 232 / 580
"""Share of the reasoned examples that name every cue (see `words.reason`)."""


@dataclass(frozen=True)
class _Planned:
    clip: Clip
    spec: ClipSpec
    targets: bool


def _split(index: int, num_clips: int, kind: CorpusKind) -> str:
    if index < round(num_clips * kind.test_share):
        return "test"
    return "val" if index < round(num_clips * (kind.test_share + kind.val_share)) else "train"


def _emotion(kind: CorpusKind, split: str, index: int, rng: np.random.Generator) -> Emotion | None:
    if not kind.labels:
        return None
    if not kind.counts:
        return kind.labels[index % len(kind.labels)]
    shares = np.array(kind.counts) / sum(kind.counts)
    return kind.labels[int(rng.choice(len(kind.labels), p=shares))]


def _plan(corpus: str, cast: Cast, index: int, num_clips: int, seed: int, noise: Noise, folder: Path) -> _Planned:
    kind = CORPORA[corpus]
    rng = np.random.default_rng([seed, list(CORPORA).index(corpus), index])
    split = _split(index, num_clips, kind)
    emotion = _emotion(kind, split, index, rng)
    cues = random_cues(rng) if emotion is None else express(emotion, rng, noise)
    if kind.emotion_in is not None:
        expressed, cues = cues, random_cues(rng)
        cues.update((channel, expressed[channel]) for channel in SIDE_CHANNELS[kind.emotion_in])
    if kind.fixed_sentences:
        cues["words"] = "plain"
    look = str(rng.choice(kind.looks))
    habit = emotion
    if emotion is not None and kind.swapped:
        habit = kind.labels[(kind.labels.index(emotion) + 1) % len(kind.labels)]
    casting = cast_clip(cast, habit, rng, shortcut=kind.shortcut)
    studio = LOOKS[look].studio
    sentences = FIXED_SENTENCES if studio and cues["words"] == "plain" else SENTENCES[cues["words"]]
    sentence = str(rng.choice(sentences))
    spec = ClipSpec(
        person=dressed(cast, casting),
        room=cast.rooms[casting.room],
        look=LOOKS[look],
        pose_apex=face_pose(cues, rng),
        onset=float(rng.uniform(0.05, 0.25)),
        voice=voice_style(cues, rng),
        speaker=cast.speakers[casting.speaker],
        sentence=sentence,
        subtitle=bool(rng.random() < kind.subtitled),
        camera_noise=float(rng.uniform(2.0, 6.0)),
        seed=int(rng.integers(2**31)),
    )
    label, reasoning = None, None
    if emotion is not None:
        crowd = corpus in {"dfew-like", "mafw-like"} and split != "test"
        label = crowd_label(emotion, kind.labels, rng, noise) if crowd else emotion
        if corpus == "emer-like":
            reasoning = reason(cues, emotion, rng, thorough_share=THOROUGH_SHARE)
    else:
        reasoning = describe(cues)
    name = f"{index:05d}"
    clip = Clip(
        id=f"{corpus}-{name}",
        path=folder / "clips" / f"{name}.mp4",
        label=label,
        reasoning=reasoning,
        subtitle=sentence,
        split=split,
        corpus=corpus,
        meta={
            "cues": cues,
            "emotion": emotion,
            "look": look,
            "person": casting.person,
            "room": casting.room,
            "clothing": casting.clothing,
            "speaker": casting.speaker,
            "subtitled": spec.subtitle,
        },
    )
    return _Planned(clip, spec, targets=emotion is None)


def targets_path(clip: Clip) -> Path:
    """Return the path of a humanomni-like clip's rendering parameters."""
    return clip.path.parent.parent / "targets" / f"{clip.path.stem}.npz"


def _write(planned: _Planned) -> str:
    path, targets = planned.clip.path, targets_path(planned.clip)
    if not path.exists() or (planned.targets and not targets.exists()):
        geometry = render_clip(planned.spec, path, with_voice=planned.targets)
        if geometry.voice is not None:
            with replaced_file(targets) as partial, partial.open("wb") as file:
                np.savez(file, landmarks=geometry.landmarks, voice=geometry.voice)
    return planned.clip.id


def make_corpus(
    corpus: str,
    out: Path,
    num_clips: int,
    seed: int,
    *,
    noise: Noise | None = None,
    num_workers: int = 2,
    on_clip: Callable[[int], None] | None = None,
) -> Path:
    """Write a synthetic corpus: `clips/*.mp4` and `manifest.jsonl`.

    Args:
        corpus: a name of `CORPORA`.
        out: the folder; clips of this corpus that it already holds are kept.
        num_clips: number of clips over all splits.
        seed: the world; corpora of one seed share their people, rooms and habits.
        noise: how far clips stray from the patterns; None uses the defaults.
        num_workers: processes.
        on_clip: called with the number of clips done.

    Returns:
        The path of the manifest. It is written last, so a corpus with a manifest is complete.

    Raises:
        ConfigError: the corpus is unknown, or `num_clips` is below 1.
    """
    if corpus not in CORPORA:
        raise ConfigError(f"Unknown corpus '{corpus}'; expected one of {', '.join(CORPORA)}.")
    if num_clips < 1:
        raise ConfigError(f"Found {num_clips} clips; a corpus needs at least one: give --clips a positive number.")
    kind, noise = CORPORA[corpus], noise or Noise()
    world = 1 if kind.looks == ("studio",) else 0
    cast = make_cast(np.random.default_rng([seed, 1000 + world]), num_people=48, voices=kind.voices)
    out = out.resolve()
    manifest = out / "manifest.jsonl"
    plans = [_plan(corpus, cast, index, num_clips, seed, noise, out) for index in range(num_clips)]
    if not manifest.exists():
        (out / "clips").mkdir(parents=True, exist_ok=True)
        if not kind.labels:
            (out / "targets").mkdir(exist_ok=True)
        for folder in (out, out / "clips", out / "targets"):
            sweep(folder)
        with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as pool:
            for done, _ in enumerate(pool.map(_write, plans, chunksize=8), start=1):
                if on_clip is not None:
                    on_clip(done)
        write_manifest(manifest, [planned.clip for planned in plans])
    return manifest
