"""Continuous batching against fixed batches: tokens per second on the same requests, weights and draws.

    continuous   the package's generator: a row that ends makes place for a waiting prompt
    fixed        a batch of prompts is answered to its end before the next one begins (`fixed_batches.py`)

Both keep as many prompts live at once and share a prompt's keys and values within its group. Three cases:

    spread    64 prompts, answers of 8 to 128 tokens in a shuffled order
    equal     64 prompts, answers of 64 tokens each
    groups    24 prompts with 8 sampled answers each, of 16 to 64 tokens: a step of training

Lengths are limits, one per request; no token ends a turn. Weights are random, widths are those of a preset, layers and
vocabulary a share of it. Prompts are made of text; `--prompt-tokens` says how long they are. The two ways take turns
step by step, and their CPU seconds are added up apart (on CUDA: wall seconds), so that what else runs on the machine
weighs on both alike.
"""

import json as jsonlib
import random
import statistics
import time
from collections.abc import Generator as Iteration
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table
from transformers import Qwen2Tokenizer

from alone import say
from cost import synchronise
from fixed_batches import answer_batch
from options import Device, Json, Layers, Preset, device_name, new_app
from r1omni.cli import boundary
from r1omni.cli.options import DtypeOption
from r1omni.core.errors import ConfigError
from r1omni.infer.embedding import embed_prompts, repetition_penalty
from r1omni.infer.generator import Generator
from r1omni.infer.prompt import Prompt, Sampling
from r1omni.model.modeling import HumanOmniForConditionalGeneration
from r1omni.model.precision import best_dtype
from r1omni.model.presets import build_model, cut_config
from r1omni.model.processing import HumanOmniProcessor
from r1omni.model.tokenizer import build_tokenizers

Steps = Iteration[None, None, list[list[list[int]]]]
"""Yields after every step, and returns the tokens of each prompt's answers."""

_WORDS = "what which how is the person feeling voice face brow loud calm happy sad angry why because".split()


@dataclass(frozen=True)
class Case:
    """Requests to be answered both ways."""

    lengths: tuple[int, ...]
    """Tokens of the answers to each prompt."""
    num_samples: int
    temperature: float
    max_prompts: int
    """Prompts that are live at once."""
    asks_different: bool = True
    """Whether the questions differ; a step of training asks the same about each clip."""


CASES = {
    "spread": Case(tuple(8 + round(120 * place / 63) for place in range(64)), 1, 0.0, 16),
    "equal": Case((64,) * 64, 1, 0.0, 16),
    "groups": Case(tuple(16 + 2 * place for place in range(24)), 8, 1.0, 24, asks_different=False),
}


class _EndlessTokenizer(Qwen2Tokenizer):
    """A tokenizer whose end-of-turn token never comes."""

    eos_token_id = property(lambda self: 2**30)


def build(
    preset: str, layers: int | None, device: torch.device, dtype: torch.dtype
) -> tuple[HumanOmniForConditionalGeneration, HumanOmniProcessor]:
    """Return a model of a preset's widths and a processor whose end-of-turn token never comes."""
    tokenizer, router = build_tokenizers([" ".join(_WORDS)] * 4, 400)
    config: Any = cut_config(preset, layers, text_config={"eos_token_id": None, "pad_token_id": tokenizer.pad_token_id})
    model = build_model(config).to(device=device, dtype=dtype).eval()  # pyright: ignore[reportCallIssue]
    processor = HumanOmniProcessor.from_config(config, tokenizer, router)
    processor.tokenizer.__class__ = _EndlessTokenizer
    return model, processor


def make_requests(processor: HumanOmniProcessor, case: Case, prompt_tokens: int) -> tuple[list[Prompt], list[Sampling]]:
    """Return prompts of so many tokens to half as many again, and how each is answered."""
    rng = random.Random(0)
    lengths = list(case.lengths)
    rng.shuffle(lengths)
    words = [rng.choice(_WORDS)]
    while len(processor.prompt_ids(" ".join(words), 0, False)) < prompt_tokens:
        words.append(rng.choice(_WORDS))
    questions = [
        " ".join([*words, *(rng.choice(_WORDS) for _ in range(more))]) for more in range(0, prompt_tokens // 2, 4)
    ]
    prompts = [Prompt.ask(rng.choice(questions) if case.asks_different else questions[0]) for _ in lengths]
    samplings = [
        Sampling(case.temperature, max_tokens=length, seed=seed, num_samples=case.num_samples)
        for seed, length in enumerate(lengths)
    ]
    return prompts, samplings


def run_fixed(
    model: HumanOmniForConditionalGeneration,
    processor: HumanOmniProcessor,
    prompts: Sequence[Prompt],
    samplings: Sequence[Sampling],
    max_prompts: int,
) -> Steps:
    """Answer batch after batch, a step at a time; the texts are decoded too, as the generator does it."""
    answers = []
    for start in range(0, len(prompts), max_prompts):
        part = samplings[start : start + max_prompts]
        embeds, mask = embed_prompts(model, processor, prompts[start : start + max_prompts])
        longest = max(entry.max_tokens for entry in part)
        uniforms = torch.zeros(len(part), part[0].num_samples, longest)
        for row, entry in zip(uniforms, part, strict=True):
            block = torch.empty(entry.num_samples, entry.max_tokens)
            row[:, : entry.max_tokens] = block.uniform_(generator=torch.Generator().manual_seed(entry.seed))
        written = yield from answer_batch(
            model.language_model,
            model.lm_head,
            embeds,
            mask,
            temperature=part[0].temperature,
            stop_ids=[processor.tokenizer.eos_token_id],
            uniforms=uniforms.to(embeds.device),
            limits=torch.tensor([entry.max_tokens for entry in part], device=embeds.device),
            repetition_penalty=repetition_penalty(model),
        )
        for group in written:
            processor.tokenizer.batch_decode(group, skip_special_tokens=True)
        answers += written
    return answers


def run_continuous(
    model: HumanOmniForConditionalGeneration,
    processor: HumanOmniProcessor,
    prompts: Sequence[Prompt],
    samplings: Sequence[Sampling],
    max_prompts: int,
) -> Steps:
    """Answer with the generator, a step at a time."""
    generator = Generator(model, processor, max_prompts=max_prompts)
    answers = {number: {} for number in generator.admit(prompts, samplings, stream=False)}
    while generator.has_work:
        for event in generator.step():
            assert event.completion is not None
            answers[event.request][event.sample] = event.completion.token_ids
        yield
    return [[answer for _, answer in sorted(group.items())] for group in answers.values()]


@torch.no_grad()
def _race(runs: dict[str, Steps], device: torch.device) -> tuple[dict[str, float], dict[str, list[list[list[int]]]]]:
    """Run both ways step by step, always the one that has had less time, so that both see the same machine."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    seconds, answers = dict.fromkeys(runs, 0.0), {}
    while len(answers) < len(runs):
        name = min((name for name in runs if name not in answers), key=seconds.__getitem__)
        started_s = clock()
        try:
            next(runs[name])
        except StopIteration as ended:
            answers[name] = ended.value
        synchronise(device)
        seconds[name] += clock() - started_s
    return seconds, answers


def compare(
    model: HumanOmniForConditionalGeneration, processor: HumanOmniProcessor, case: Case, prompt_tokens: int, rounds: int
) -> dict[str, Any]:
    """Answer one case both ways.

    Returns:
        `tokens_per_s` of each way; `ratio`, continuous over fixed, the median of the rounds; `same_answers`, the share
        of answers that agree token for token; the number of tokens, and the seconds of each round.
    """
    prompts, samplings = make_requests(processor, case, prompt_tokens)
    ways = {"continuous": run_continuous, "fixed": run_fixed}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    answers: dict[str, list[list[list[int]]]] = {}
    short = [replace(entry, max_tokens=3) for entry in samplings[:2]]
    for number in range(rounds + 1):  # the first one warms up
        asked = (prompts, samplings) if number else (prompts[:2], short)
        runs = {name: run(model, processor, *asked, case.max_prompts) for name, run in ways.items()}
        taken, answers = _race(runs, model.device)
        for name in ways if number else ():
            seconds[name].append(taken[name])
    num_tokens = sum(len(answer) for group in answers["fixed"] for answer in group)
    pairs = [
        pair for both in zip(answers["fixed"], answers["continuous"], strict=True) for pair in zip(*both, strict=True)
    ]
    ratios = [fixed / continuous for continuous, fixed in zip(*seconds.values(), strict=True)]
    return {
        "tokens_per_s": {name: num_tokens / statistics.median(found) for name, found in seconds.items()},
        "ratio": statistics.median(ratios),
        "same_answers": sum(ours == theirs for ours, theirs in pairs) / len(pairs),
        "num_tokens": num_tokens,
        "seconds": seconds,
    }


app = new_app()


@app.command(epilog="Example: python benchmarks/generation.py --preset tiny --layers 0 --rounds 5")
def generation(
    preset: Preset = "0.5b",
    layers: Layers = 2,
    cases: Annotated[str, typer.Option(help=f"Which cases, separated by commas: {', '.join(CASES)}.")] = "spread,equal",
    max_prompts: Annotated[int, typer.Option(min=0, help="Prompts live at once; 0 keeps each case's own.")] = 0,
    prompt_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a prompt.")] = 48,
    rounds: Annotated[int, typer.Option(min=1, help="Times that each way answers each case.")] = 3,
    dtype: DtypeOption = "float32",
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Compare continuous batching with fixed batches: tokens per second on the same requests."""
    unknown = [name for name in cases.split(",") if name not in CASES]
    if unknown:
        raise ConfigError(f"--cases: there is no case {unknown[0]!r}; choose from {', '.join(CASES)}")
    on = torch.device(device_name(device) or ("cuda" if torch.cuda.is_available() else "cpu"))
    say("building the model")
    model, processor = build(preset, layers or None, on, best_dtype(on) if dtype == "auto" else getattr(torch, dtype))
    found = {}
    for name in cases.split(","):
        say(name)
        case = replace(CASES[name], max_prompts=max_prompts or CASES[name].max_prompts)
        found[name] = {"max_prompts": case.max_prompts} | compare(model, processor, case, prompt_tokens, rounds)
    text = model.config.text_config
    results = {
        "cases": found,
        "device": torch.cuda.get_device_name() if on.type == "cuda" else f"cpu, {torch.get_num_threads()} threads",
        "dtype": str(model.dtype).removeprefix("torch."),
        "sizes": {
            "language_layers": text.num_hidden_layers,
            "hidden_size": text.hidden_size,
            "vocab_size": text.vocab_size,
            "prompt_tokens": prompt_tokens,
        },
    }
    if json:
        typer.echo(jsonlib.dumps(results, indent=2))
        return
    table = Table(title=f"{results['device']}, {results['dtype']}, {results['sizes']}")
    for heading in (
        "case",
        "prompts live",
        "tokens",
        "continuous, tokens/s",
        "fixed, tokens/s",
        "ratio",
        "same answers",
    ):
        table.add_column(heading, justify="right")
    for name, row in found.items():
        rates = [f"{rate:.0f}" for rate in row["tokens_per_s"].values()]
        counts = str(row["max_prompts"]), str(row["num_tokens"])
        table.add_row(name, *counts, *rates, f"{row['ratio']:.3f}", f"{row['same_answers']:.0%}")
    Console(width=120).print(table)


if __name__ == "__main__":
    boundary.run(app)
