"""Work beside the owner of the model: in pieces, between the tokens of others, with the results of one piece."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import pytest
import torch

from explained_clips import bundled_engine, measurer, sample_clip
from r1omni.core.errors import StoppedError
from r1omni.core.instruction import REASONING_INSTRUCTION, format_answer
from r1omni.explain.attribution import AnsweredClip, LeftOut, attribute
from r1omni.explain.explanation import explain_clip
from r1omni.infer.engine import Engine
from r1omni.infer.engine_thread import EngineThread
from r1omni.infer.features import Features
from r1omni.infer.piecewise import Pieces, piecewise_engine
from r1omni.infer.prompt import Prompt, Sampling
from small_model import LABELS, MadeUpFeatures, small_clips, small_model

Result = TypeVar("Result")
TEXT = format_answer("the voice is loud", "angry")
ENDLESS = Sampling(temperature=1.0, max_tokens=1500, seed=1)


@pytest.fixture
def endless() -> Engine:
    """An engine whose model never ends a turn."""
    model, processor = small_model()
    eos = processor.tokenizer.eos_token_id

    def forbid(head: object, inputs: object, logits: torch.Tensor) -> torch.Tensor:
        logits = logits.clone()
        logits[..., eos] = -torch.inf
        return logits

    model.lm_head.register_forward_hook(forbid)
    return MadeUpFeatures(model.eval(), processor, max_prompts=2)


def numbers(value: object) -> list[float]:
    """All numbers in a JSON value, in their order."""
    if isinstance(value, dict):
        return [number for entry in value.values() for number in numbers(entry)]
    if isinstance(value, list):
        return [number for entry in value for number in numbers(entry)]
    return [value] if isinstance(value, float) else []


def words(value: object) -> object:
    """A JSON value without its numbers."""
    if isinstance(value, dict):
        return {key: words(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [words(entry) for entry in value]
    return None if isinstance(value, float) else value


def test_an_explanation_in_pieces_is_the_one_that_is_made_at_once():
    clip, engine = sample_clip("fear"), bundled_engine()
    measured = measurer().measure(clip, "auto")
    at_once = explain_clip(engine, lambda *_: measured, clip).to_json()
    with EngineThread(engine.generator) as owner:
        in_pieces = explain_clip(piecewise_engine(engine, Pieces(owner)), lambda *_: measured, clip).to_json()
    assert words(in_pieces) == words(at_once) and at_once["attribution"]["retold"] is not None
    assert len(numbers(at_once)) > 100
    assert numbers(in_pieces) == pytest.approx(numbers(at_once), abs=2e-3)


class Watched(EngineThread):
    """Notes when it makes a call; tokens of requests are noted by whoever asked."""

    def __init__(self, engine: Engine) -> None:
        self.order: list[str] = []
        super().__init__(engine.generator)

    def call(self, function: Callable[[], Result]) -> Future[Result]:
        def noted() -> Result:
            self.order.append("piece")
            return function()

        return super().call(noted)


def test_tokens_of_a_stream_come_between_all_pieces(endless: Engine):
    (both,) = endless.encoder.features(small_clips(1))
    assert isinstance(both, Features)
    spans = tuple(LeftOut("pictures", 0.0, 1.0, both) for _ in range(12))
    asked = AnsweredClip(both, REASONING_INSTRUCTION, TEXT, spans)
    (at_once,) = attribute(endless.scorer, [asked], LABELS)
    owner = Watched(endless)
    with owner:
        ticket = owner.submit(Prompt.ask("Which?"), ENDLESS, on_event=lambda _: owner.order.append("token"))
        while "token" not in owner.order:
            time.sleep(0.001)
        owner.order.clear()
        (in_pieces,) = attribute(piecewise_engine(endless, Pieces(owner)).scorer, [asked], LABELS)
        assert not ticket.is_done
        order = list(owner.order)
        ticket.cancel()
    places = [place for place, entry in enumerate(order) if entry == "piece"]
    assert len(places) == 4  # 16 prompts
    assert all(later - earlier > 1 for earlier, later in zip(places, places[1:], strict=False))
    assert at_once is not None and in_pieces is not None
    assert in_pieces.shapley == pytest.approx(at_once.shapley, abs=1e-4)


def test_work_that_is_stopped_frees_its_rows_and_does_nothing_more(endless: Engine):
    with EngineThread(endless.generator) as owner, ThreadPoolExecutor(1) as threads:
        pieces = Pieces(owner)
        engine = piecewise_engine(endless, pieces)
        writing = threads.submit(engine.generator.run, [Prompt.ask("Which?"), Prompt.ask("Why?")], ENDLESS)
        while not endless.generator.num_running:
            time.sleep(0.001)
        pieces.stop()
        with pytest.raises(StoppedError):
            writing.result(60)
        with pytest.raises(StoppedError):
            engine.scorer.label_probabilities([Prompt.ask("Which?")], [""], LABELS)
        others = owner.submit(Prompt.ask("Which?"), Sampling(max_tokens=3)).result(60)
    assert len(others[0].token_ids) == 3 and not endless.generator.has_work
