"""How often attribution names the side that an emotion comes from, on made clips where that side is known.

Clips of `dfew-like-in-pictures` and `dfew-like-in-sound` express their emotion on one side, without noise; the cues of
the other side are drawn whatever the emotion is. The words belong to the sound: they are spoken, and no subtitle
repeats them. Of the right answers, those are counted in which that side has the larger Shapley value, through reasons
written anew from each set of sides and beside the reasons as they are. Two more rows say what that is worth:

- the other side of a neutral clip instead of a random one. It is no side that carries nothing, but one that speaks for
  neutral; sides are mixed as features, and neutral clips are left out;
- the optimal reader, who knows every cue and the patterns of the emotions: random cues can speak for the emotion by
  chance, so that even its Shapley values do not always name the side.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, get_args

import typer

from r1omni.cli import boundary
from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.core.instruction import LABEL_INSTRUCTION
from r1omni.core.labels import DFEW_LABELS
from r1omni.datasets.manifest import read_manifest
from r1omni.explain.attribution import AnsweredClip, Player, attribute, retell
from r1omni.infer.engine import Engine
from r1omni.infer.features import Features, Side
from r1omni.infer.predict_files import load_engine
from r1omni.infer.prompt import Prompt, Sampling
from r1omni.scoring.shapley import coalitions, shapley_values
from r1omni.synth.corpus import make_corpus
from r1omni.synth.world import SIDE_CHANNELS, Channel, Noise, log_likelihoods

SIDES: tuple[Side, ...] = get_args(Side)

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Row:
    """One side's figures, by one reader, with one kind of other side."""

    reader: str
    side: Side
    other_side: str
    num_clips: int
    num_right: int
    through: int
    """Right answers whose larger Shapley value, with reasons written anew, is the side's."""
    beside: int
    """The same with the reasons as a player beside the sides."""


@app.command(epilog="Example: python scripts/measure_attribution.py runs/attribution --model runs/r1-omni/model")
def main(
    out: Annotated[Path, typer.Argument(help="Folder of the clips; those that it holds are used again.")],
    model: Annotated[str | None, typer.Option(help="Checkpoint; none takes the bundled model.")] = None,
    clips: Annotated[int, typer.Option(min=len(DFEW_LABELS), help="Clips for each side.")] = 154,
    seed: Annotated[int, typer.Option(min=0, help="Seeds the world of the clips: the model's own.")] = 0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Tokens an answer may have.")] = 110,
) -> None:
    """Print one JSON line per side and kind of other side."""
    made = {side: _corpus(out, side, clips, seed) for side in SIDES}
    for side in SIDES:
        typer.echo(json.dumps(asdict(optimal_row(side, made[side]))))
    engine = load_engine(model, dtype="float32")
    features = {side: _features(engine, made[side]) for side in SIDES}
    for side in SIDES:
        own, other = features[side], features[_other(side)]
        typer.echo(json.dumps(asdict(measure(engine, side, "random", made[side], own, max_new_tokens))))
        neutral = [entry for clip, entry in zip(made[_other(side)], other, strict=True) if clip.label == "neutral"]
        kept = [place for place, clip in enumerate(made[side]) if clip.label != "neutral"]
        mixed = [_mixed(side, own[place], neutral[place % len(neutral)]) for place in kept]
        told = [made[side][place] for place in kept]
        typer.echo(json.dumps(asdict(measure(engine, side, "neutral", told, mixed, max_new_tokens))))


def measure(
    engine: Engine, side: Side, other_side: str, clips: Sequence[Clip], given: Sequence[Features], max_new_tokens: int
) -> Row:
    """Answer clips whose emotion is on one side, and attribute the right answers.

    Args:
        engine: the loaded model.
        side: that side.
        other_side: what the other one is, for the row.
        clips: with their labels.
        given: their features.
        max_new_tokens: limit of an answer.
    """
    instruction = engine.answer_format.request(LABEL_INSTRUCTION)
    written = engine.generator.run(
        [Prompt.ask(instruction, entry) for entry in given], Sampling(max_tokens=max_new_tokens)
    )
    answered = [
        AnsweredClip(entry, instruction, completion.text)
        for clip, entry, (completion,) in zip(clips, given, written, strict=True)
        if engine.answer_format.parse(completion.text).answer == clip.label
    ]
    again = retell(engine.generator, answered, max_new_tokens)
    answered = [replace(entry, retold=texts) for entry, texts in zip(answered, again, strict=True)]
    found = [entry for entry in attribute(engine.scorer, answered, DFEW_LABELS) if entry is not None]
    through = sum(_is_named(side, entry.retold) for entry in found)
    beside = sum(_is_named(side, entry.shapley) for entry in found)
    return Row("model", side, other_side, len(clips), len(found), through, beside)


def optimal_row(side: Side, clips: Sequence[Clip]) -> Row:
    """Return the figures of a reader who knows every cue and how likely each emotion shows it.

    Args:
        side: the side that expresses the emotion.
        clips: with their true cues.
    """
    num_right = named = 0
    for clip in clips:
        values = {members: _log_posterior(clip, members) for members in coalitions(SIDES)}
        best = max(DFEW_LABELS, key=lambda label: _posteriors(clip, frozenset(SIDES))[label])
        if best == clip.label:
            num_right += 1
            named += _is_named(side, shapley_values(SIDES, values))
    return Row("optimal reader", side, "random", len(clips), num_right, named, named)


def _log_posterior(clip: Clip, members: frozenset[Side]) -> float:
    return _posteriors(clip, members)[clip.label or ""]


def _posteriors(clip: Clip, members: frozenset[Side]) -> dict[str, float]:
    """Return the log-probability of each label given the cues of some sides."""
    cues: dict[Channel, str] = {name: clip.meta["cues"][name] for side in members for name in SIDE_CHANNELS[side]}
    scores = log_likelihoods(cues, DFEW_LABELS, Noise())
    highest = max(scores.values())
    total = highest + math.log(sum(math.exp(score - highest) for score in scores.values()))
    return {str(label): score - total for label, score in scores.items()}


def _corpus(out: Path, side: Side, num_clips: int, seed: int) -> list[Clip]:
    corpus = f"dfew-like-in-{side}"
    return read_manifest(make_corpus(corpus, out / corpus, num_clips, seed, noise=Noise(cue=0.0)))


def _features(engine: Engine, clips: Sequence[Clip]) -> list[Features]:
    found = engine.encoder.features(clips)
    broken = [entry for entry in found if isinstance(entry, MediaError)]
    if broken:
        raise broken[0]
    return [entry for entry in found if not isinstance(entry, MediaError)]


def _mixed(side: Side, own: Features, other: Features) -> Features:
    """Return a clip's features with the other side of another clip."""
    return replace(own, audio=other.audio) if side == "pictures" else replace(own, video=other.video)


def _is_named(side: Side, values: Mapping[Side, float] | Mapping[Player, float]) -> bool:
    return values[side] > values[_other(side)]


def _other(side: Side) -> Side:
    return "sound" if side == "pictures" else "pictures"


if __name__ == "__main__":
    boundary.run(app)
