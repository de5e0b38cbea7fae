"""Whether an answer hangs on its reasons: which label is likeliest once the reasons are changed.

    cut       after the first 0, 1, 2, ... sentences
    replaced  after the reasons of another clip, for another answer
    turned    after the same reasons with one claim turned round ("raised brows" -> "lowered brows")

The clip stays as it was. Each variant takes one prefill; all variants of all answers are computed in batches. Reasons
that the answer does not hang on leave it as it was: a faithful answer changes.

Source: Lanham et al., "Measuring faithfulness in chain-of-thought reasoning" (arXiv 2307.13702).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from r1omni.core.answer_format import AnswerFormat
from r1omni.explain.attribution import AnsweredClip, has_reasons
from r1omni.infer.prompt import Prompt
from r1omni.infer.scorer import Scorer
from r1omni.scoring.claims import read_reasons, sentence_spans
from r1omni.scoring.explained_answer import Reliance
from r1omni.scoring.turned_claim import turn_round


@dataclass(frozen=True)
class _Variants:
    """The texts that one answer is scored after, each ending with the tag that opens the answer."""

    cut: list[str]
    replaced: str | None
    turned: str | None
    own: str

    @property
    def texts(self) -> list[str]:
        return [self.own, *self.cut, *(text for text in (self.replaced, self.turned) if text is not None)]


def measure_reliance(
    scorer: Scorer,
    answered: Sequence[AnsweredClip],
    labels: Sequence[str],
    replacements: Sequence[str | None] | None = None,
) -> list[Reliance | None]:
    """Return what answers become when their reasons are changed.

    Args:
        scorer: over the model that wrote the answers.
        answered: any number of answers with their clips' features.
        labels: the label set, at least one.
        replacements: per answer the output whose reasons replace its own; None takes `other_outputs` of the answers.

    Returns:
        One per answer; None where the output has no reasons before an answer.
    """
    answer_format = AnswerFormat.spelled(scorer.processor.answer_format)
    outputs = [entry.text for entry in answered]
    variants = _variants(answer_format, outputs, replacements or other_outputs(answer_format, outputs))
    prompts: list[Prompt] = []
    texts: list[str] = []
    for entry, variant in zip(answered, variants, strict=True):
        if variant is not None:
            texts += variant.texts
            prompts += [Prompt.ask(entry.instruction, entry.features)] * len(variant.texts)
    likeliest = iter([max(row, key=row.__getitem__) for row in scorer.label_probabilities(prompts, texts, labels)])
    found: list[Reliance | None] = []
    for variant in variants:
        if variant is None:
            found.append(None)
            continue
        own, cut = next(likeliest), tuple(next(likeliest) for _ in variant.cut)
        replaced = None if variant.replaced is None else next(likeliest)
        turned = None if variant.turned is None else next(likeliest)
        found.append(Reliance(own, cut, replaced, turned))
    return found


def other_outputs(answer_format: AnswerFormat, texts: Sequence[str]) -> list[str | None]:
    """Return for each output the next one, in a circle, that gives other reasons for another answer.

    Where all answers are the same, other reasons suffice; None where there are none.

    Args:
        answer_format: the tagged parts of the outputs.
        texts: the outputs.
    """
    parsed = [answer_format.parse(text) if has_reasons(answer_format, text) else None for text in texts]
    found: list[str | None] = []
    for place, own in enumerate(parsed):
        if own is None:
            found.append(None)
            continue
        circle = (parsed[(place + step) % len(texts)] for step in range(1, len(texts)))
        others = [other for other in circle if other is not None and other.reasoning != own.reasoning]
        opposed = [other for other in others if other.answer != own.answer]
        found.append(next((other.text for other in [*opposed, *others]), None))
    return found


def _head(answer_format: AnswerFormat, text: str) -> str | None:
    """Return an output up to the tag that opens its answer; None where it gives no reasons before it."""
    head, tag, _ = text.partition(answer_format.opening)
    return head + tag if has_reasons(answer_format, text) else None


def _variants(
    answer_format: AnswerFormat, texts: Sequence[str], replacements: Sequence[str | None]
) -> list[_Variants | None]:
    heads = [_head(answer_format, text) for text in texts]
    reasonings = [None if head is None else answer_format.parse(head).reasoning for head in heads]
    found: list[_Variants | None] = []
    for place, (head, reasoning) in enumerate(zip(heads, reasonings, strict=True)):
        if head is None or reasoning is None:
            found.append(None)
            continue
        offsets = _offsets(head, reasoning)
        spans = [
            _within(offsets, start, start + len(reasoning[start:stop].rstrip("\n")))
            for start, stop in sentence_spans(reasoning)
        ]
        cut = [_without(head, spans[kept:]) for kept in range(len(spans))]
        other = replacements[place]
        replaced = None if other is None else _head(answer_format, other)
        turned = turn_round(reasoning, read_reasons(reasoning).claims)
        turned_head = None
        if turned is not None:
            start, stop = _within(offsets, turned.start, turned.stop)
            turned_head = head[:start] + turned.word + head[stop:]
        found.append(_Variants(cut, replaced, turned_head, head))
    return found


def _offsets(head: str, reasoning: str) -> list[int]:
    """Return where each character of the reasoning is in the output; paragraphs have tags between them there."""
    offsets: list[int] = []
    cursor = 0
    for line in reasoning.split("\n"):
        begins = head.index(line, cursor)
        cursor = begins + len(line)
        offsets += range(begins, cursor + 1)
    return offsets


def _within(offsets: Sequence[int], start: int, stop: int) -> tuple[int, int]:
    return offsets[start], offsets[stop - 1] + 1 if stop > start else offsets[start]


def _without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    for start, stop in reversed(spans):
        text = text[:start] + text[stop:]
    return text
