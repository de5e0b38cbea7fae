"""From clips to groups of graded answers: the order of clips, the rewards, what a group is, and a step's groups.

The order is an endless chain of shuffled passes that depends on the seed alone; processes take turns in it. An answer
is parsed once; each reward reads the parsed answer and the clip.
"""

import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import torch
from accelerate import Accelerator

from r1omni.config.grpo_run import ScaleRewards, ZeroVariance
from r1omni.core.answer_format import PAPER_FORMAT, AnswerFormat
from r1omni.core.clip import Answer, Clip
from r1omni.core.errors import ConfigError, MediaError, NotReadyError
from r1omni.core.evidence import Evidence
from r1omni.infer.completion import Completion
from r1omni.infer.engine import Engine
from r1omni.infer.features import Side
from r1omni.infer.prompt import Prompt, Sampling, clip_seeds
from r1omni.scoring.normalise import exact
from r1omni.scoring.rewards import NEED_EVIDENCE, REWARDS
from r1omni.train.loss import group_advantages
from r1omni.train.one_sided import drawn_side
from r1omni.train.processes import gather_rows, sum_over


@dataclass(frozen=True)
class Reward:
    """A named function with its weight in the sum."""

    name: str
    """`accuracy` and `format` are what the readiness check and the log call by these words."""
    function: Callable[[Answer, Clip, Side | None], float]
    """Parsed answer, clip, and the side of it that was taken away -> value."""
    weight: float = 1.0


def named_rewards(
    weights: Mapping[str, float],
    labels_of: Callable[[Clip], Sequence[str]],
    evidence_of: Callable[[Clip], Evidence | None] = lambda clip: None,
) -> list[Reward]:
    """Return the scorer's rewards by their names, each over a parsed answer and its clip.

    Args:
        weights: name -> weight in the sum.
        labels_of: the label set that answers to a clip are graded by.
        evidence_of: what was measured in a clip; None where nothing was.

    Raises:
        ConfigError: there is no reward of that name.
    """
    unknown = [name for name in weights if name not in REWARDS]
    if unknown:
        raise ConfigError(f"rewards.{unknown[0]}: no such reward; choose from {', '.join(REWARDS)}")

    def over_clip(name: str) -> Callable[[Answer, Clip, Side | None], float]:
        def graded(answer: Answer, clip: Clip, lacking: Side | None) -> float:
            evidence = evidence_of(clip) if name in NEED_EVIDENCE else None
            if evidence is not None and lacking is not None:
                evidence = evidence.without(lacking)
            return REWARDS[name](answer, clip.label or "", labels_of(clip), evidence)

        return graded

    return [Reward(name, over_clip(name), weight) for name, weight in weights.items()]


def needs_evidence(weights: Mapping[str, float]) -> bool:
    """Whether rewards read what was measured in the clips.

    Args:
        weights: name -> weight in the sum.
    """
    return any(weight and name in NEED_EVIDENCE for name, weight in weights.items())


@dataclass
class Group:
    """One prompt with its G answers."""

    clip: Clip
    prompt: Prompt
    answers: list[Completion]
    rewards: dict[str, list[float]]
    """Name -> one value per answer, unweighted."""
    totals: list[float]
    """Weighted sums, one per answer."""
    advantages: list[float] = field(default_factory=list)
    is_trained_on: bool = True
    """False leaves the group out of the loss."""
    lacking: Side | None = None
    """The side of the clip that was taken away."""

    @property
    def is_flat(self) -> bool:
        """Whether all answers got the same reward, so that nothing can be learnt."""
        return max(self.totals) - min(self.totals) < 1e-6


class ClipOrder:
    """An endless order of clips: shuffled passes, one after the other.

    Args:
        clips: the clips.
        seed: of the shuffles.
        position: how many were taken before.
    """

    def __init__(self, clips: Sequence[Clip], seed: int, position: int = 0) -> None:
        if not clips:
            raise ConfigError("There are no clips to train on; check the manifest, the split and the fold.")
        self.clips, self.seed, self.position = clips, seed, position
        self._epoch, self._order = -1, list(range(len(clips)))

    def take(self, count: int) -> list[Clip]:
        """Return the next clips."""
        taken = []
        for place in range(self.position, self.position + count):
            epoch, index = divmod(place, len(self.clips))
            if epoch != self._epoch:
                self._epoch, self._order = epoch, list(range(len(self.clips)))
                random.Random(f"{self.seed}/{epoch}").shuffle(self._order)
            taken.append(self.clips[self._order[index]])
        self.position += count
        return taken


class Sampler:
    """Samples groups and grades them.

    Args:
        engine: writes the answers.
        rewards: what they are graded by.
        instruction: what is asked.
        num_generations: answers per prompt.
        temperature: of the sampling.
        max_completion_length: tokens of an answer.
        one_sided: share of the clips with pictures and sound from which a side is taken away.
    """

    def __init__(
        self,
        engine: Engine,
        rewards: Sequence[Reward],
        instruction: str,
        *,
        num_generations: int,
        temperature: float,
        max_completion_length: int,
        one_sided: float = 0.0,
    ) -> None:
        if num_generations < 2:
            raise ConfigError(f"num_generations is {num_generations}; a group needs at least 2 answers to compare.")
        if not rewards:
            raise ConfigError("There are no rewards; pass at least one.")
        self.engine, self.rewards, self.instruction = engine, rewards, instruction
        self.num_generations, self.temperature = num_generations, temperature
        self.max_completion_length, self.one_sided = max_completion_length, one_sided
        self.failures: list[dict[str, Any]] = []
        """Rewards that raised, to be recorded by the loop."""

    def sample(self, clips: Sequence[Clip], key: str) -> list[Group]:
        """Return a group per clip.

        Args:
            clips: readable clips.
            key: with each clip's id, fixes what is drawn; see `draw_key`.
        """
        prompts: list[Prompt] = []
        samplings: list[Sampling] = []
        lacking: list[Side | None] = []
        seeds = clip_seeds(key)
        for clip, features in zip(clips, self.engine.encoder.features(clips), strict=True):
            if isinstance(features, MediaError):
                raise features
            both = get_args(Side) if features.modality == "video+audio" else ()
            lacking.append(drawn_side(self.one_sided, both, f"{key}/{clip.id}"))
            if lacking[-1] is not None:
                features = features.without(lacking[-1])
            prompts.append(Prompt.ask(self.instruction, features))
            samplings.append(
                Sampling(self.temperature, self.max_completion_length, seeds(clip.id), self.num_generations)
            )
        written = self.engine.generator.run(prompts, samplings)
        groups = []
        for clip, prompt, side, answers in zip(clips, prompts, lacking, written, strict=True):
            parsed = [self.engine.answer_format.parse(answer.text) for answer in answers]
            rewards = {r.name: [self._grade(r, answer, clip, side) for answer in parsed] for r in self.rewards}
            totals = [sum(r.weight * rewards[r.name][i] for r in self.rewards) for i in range(len(answers))]
            groups.append(Group(clip, prompt, answers, rewards, totals, lacking=side))
        return groups

    def _grade(self, reward: Reward, answer: Answer, clip: Clip, lacking: Side | None) -> float:
        try:
            value = float(reward.function(answer, clip, lacking))
        except Exception as error:  # noqa: BLE001 - the boundary to rewards others write: recorded, counted, bounded
            self.failures.append({"clip": clip.id, "reward": reward.name, "error": f"{type(error).__name__}: {error}"})
            return 0.0
        if not math.isfinite(value):
            self.failures.append({"clip": clip.id, "reward": reward.name, "error": f"returned {value}"})
            return 0.0
        return value


def draw_key(seed: int, step: int, round_number: int) -> str:
    """Name the draws of one round of a step: another name for each seed, step and round.

    Args:
        seed: of the run.
        step: optimiser steps done before.
        round_number: 0, then 1, 2, ... for the clips that replace groups without variance.
    """
    return f"{seed}/{step}/{round_number}"


def sample_step(
    accelerator: Accelerator,
    sampler: Sampler,
    order: ClipOrder,
    num_prompts: int,
    zero_variance: ZeroVariance,
    max_resample_rounds: int,
    draws: Callable[[int], str],
) -> tuple[list[Group], dict[str, float]]:
    """Sample this process's groups of a step.

    Args:
        accelerator: of the run.
        sampler: samples and grades.
        order: of the clips; the processes take turns in it.
        num_prompts: groups per process.
        zero_variance: what happens to groups whose rewards are all equal.
        max_resample_rounds: rounds in which other clips replace them.
        draws: round -> key of its draws.

    Returns:
        The groups, and over all processes what became of those without variance: `zero_variance`, the share of such
        groups as first sampled, `resampled`, how many clips were drawn to replace them, and `left_out`, the share that
        is not trained on.
    """
    world, rank = accelerator.num_processes, accelerator.process_index
    groups = sampler.sample(order.take(num_prompts * world)[rank::world], draws(0))
    report: dict[str, float] = {}
    report["zero_variance"] = sum_over(accelerator, sum(group.is_flat for group in groups))[0] / (num_prompts * world)
    if zero_variance == "keep":
        return groups, report
    if zero_variance == "resample":
        report["resampled"] = 0.0
        for round_number in range(1, max_resample_rounds + 1):
            # Every process draws as many as the one that needs most, so that the order stays common to all.
            needed = max(gather_rows(accelerator, [sum(group.is_flat for group in groups)]))
            if needed == 0:
                break
            others = sampler.sample(order.take(needed * world)[rank::world], draws(round_number))
            report["resampled"] += needed * world
            replacements = iter([group for group in others if not group.is_flat])
            groups = [next(replacements, group) if group.is_flat else group for group in groups]
    flat = sum_over(accelerator, sum(group.is_flat for group in groups))[0]
    if flat == num_prompts * world:
        return groups, report | {"left_out": 0.0}  # no group has variance: only the KL acts
    for group in groups:
        group.is_trained_on = not group.is_flat
    return groups, report | {"left_out": flat / (num_prompts * world)}


def set_advantages(accelerator: Accelerator, groups: Sequence[Group], scale_rewards: ScaleRewards) -> None:
    """Set each group's advantages (equation 4)."""
    totals = torch.tensor([group.totals for group in groups])
    batch_std = None
    if scale_rewards == "batch":
        batch_std = torch.tensor(gather_rows(accelerator, [group.totals for group in groups])).std()
    for group, row in zip(groups, group_advantages(totals, scale_rewards, batch_std).tolist(), strict=True):
        group.advantages = row


def check_ready(
    groups: Sequence[Group], min_format: float, min_accuracy: float, answer_format: AnswerFormat = PAPER_FORMAT
) -> dict[str, float]:
    """Refuse a start that is not good enough when sampled.

    Args:
        groups: sampled from the start.
        min_format: share of well-formed answers that is needed.
        min_accuracy: share of right answers that is needed.
        answer_format: reads the answers where the rewards do not say both.

    Returns:
        Both shares.

    Raises:
        NotReadyError: a share is below its floor.
    """
    answers = [answer_format.parse(answer.text) for group in groups for answer in group.answers]
    if all("format" in group.rewards for group in groups):
        formed = [value for group in groups for value in group.rewards["format"]]
    else:
        formed = [float(answer.well_formed) for answer in answers]
    if all("accuracy" in group.rewards for group in groups):
        right = [value for group in groups for value in group.rewards["accuracy"]]
    else:
        gold = [group.clip.label for group in groups for _ in group.answers]
        right = [
            float(label is not None and answer.answer == exact(label))
            for answer, label in zip(answers, gold, strict=True)
        ]
    shares = {"format": statistics.fmean(formed), "accuracy": statistics.fmean(right)}
    if shares["format"] < min_format or shares["accuracy"] < min_accuracy:
        raise NotReadyError(
            f"RLVR was not started: of {len(answers)} sampled answers {shares['format']:.0%} are well formed and "
            f"{shares['accuracy']:.0%} are right; at least {min_format:.0%} and {min_accuracy:.0%} are needed, or it "
            "learns empty answers. Train the cold start longer or on more examples, or lower the two floors."
        )
    return shares


def rollout_metrics(groups: Sequence[Group], rewards: Sequence[Reward]) -> dict[str, float]:
    """What the log says about a step's samples: means over answers, and the number of tokens."""
    answers = [answer for group in groups for answer in group.answers]
    totals = [total for group in groups for total in group.totals]
    lengths = [len(answer.token_ids) for answer in answers]
    spread = torch.tensor([group.totals for group in groups]).std(-1).mean()
    metrics = {
        "reward": sum(totals) / len(totals),
        "reward_std": float(spread),
        # Sampled answers estimate the entropy without bias: the mean of -log p over what was drawn.
        "entropy": -sum(sum(answer.logprobs) for answer in answers) / sum(lengths),
        "length": sum(lengths) / len(lengths),
        "truncation": sum(answer.truncated for answer in answers) / len(answers),
        "tokens": float(sum(lengths)),
    }
    weight_sum = sum(abs(reward.weight) * _mean_of(groups, reward.name) for reward in rewards) or 1.0
    for reward in rewards:
        mean = _mean_of(groups, reward.name)
        values = torch.tensor([value for group in groups for value in group.rewards[reward.name]])
        metrics[f"reward/{reward.name}"] = mean
        metrics[f"reward_std/{reward.name}"] = float(values.std())
        metrics[f"reward_share/{reward.name}"] = abs(reward.weight) * mean / weight_sum
        flat = [max(values) - min(values) < 1e-6 for values in (group.rewards[reward.name] for group in groups)]
        metrics[f"zero_variance/{reward.name}"] = sum(flat) / len(flat)
        if reward.name in ("accuracy", "format"):
            metrics[reward.name] = mean
    return metrics


def _mean_of(groups: Sequence[Group], name: str) -> float:
    values = [value for group in groups for value in group.rewards[name]]
    return sum(values) / len(values)


def sample_lines(step: int, groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Lines of samples.jsonl: the answers to four clips, for reading."""
    return [
        {
            "step": step,
            "clip": group.clip.id,
            "lacking": group.lacking,
            "gold": group.clip.label,
            "text": answer.text,
            "rewards": {name: values[index] for name, values in group.rewards.items()},
            "advantage": group.advantages[index],
        }
        for group in groups[:4]
        for index, answer in enumerate(group.answers)
    ]
