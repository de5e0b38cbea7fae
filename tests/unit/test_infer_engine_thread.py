"""One thread owns the model, and many ask it."""

import threading
import time
from dataclasses import replace

import pytest
import torch

from r1omni.core.errors import BusyError, ConfigError, GenerationError
from r1omni.infer.engine_thread import EngineThread
from r1omni.infer.features import Features
from r1omni.infer.generator import Generator
from r1omni.infer.prompt import Prompt, Sampling
from small_model import small_model

ENDLESS = Sampling(temperature=1.0, max_tokens=1500, seed=1)
"""Longer than any test waits, unless the model ends its turn: see `endless`."""


@pytest.fixture(scope="module")
def pair():
    model, processor = small_model()
    return model.eval(), processor


@pytest.fixture
def endless(pair):
    """A generator whose model never ends a turn."""
    model, processor = small_model()
    with torch.no_grad():
        model.lm_head.weight[processor.tokenizer.eos_token_id] = 0
    model.lm_head.register_forward_hook(lambda head, inputs, logits: _forbid(logits, processor.tokenizer.eos_token_id))
    return Generator(model.eval(), processor, max_prompts=2)


def _forbid(logits: torch.Tensor, token_id: int) -> torch.Tensor:
    logits = logits.clone()
    logits[..., token_id] = -torch.inf
    return logits


def asked(number: int) -> Prompt:
    return Prompt.ask("Which?" + " so happy" * number)


def test_threads_that_submit_at_once_get_what_they_would_get_alone(pair):
    samplings = [Sampling(temperature=1.0, max_tokens=12, seed=number, num_samples=2) for number in range(12)]
    alone = [Generator(*pair).run([asked(number)], sampling)[0] for number, sampling in enumerate(samplings)]
    found: dict[int, list[list[int]]] = {}
    with EngineThread(Generator(*pair, max_prompts=3)) as front:

        def ask(number: int) -> None:
            answers = front.submit(asked(number), samplings[number]).result(timeout_s=60)
            found[number] = [answer.token_ids for answer in answers]

        clients = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
    assert found == {number: [answer.token_ids for answer in group] for number, group in enumerate(alone)}


def test_events_come_token_by_token_and_make_up_the_result(pair):
    with EngineThread(Generator(*pair)) as front:
        ticket = front.submit(asked(1), Sampling(temperature=1.0, max_tokens=9, seed=2, num_samples=2))
        events = list(ticket.events())
        answers = ticket.result()
        assert list(ticket.events()) == []  # all were read; asking again does not hang
    for sample, answer in enumerate(answers):
        own = [event for event in events if event.sample == sample]
        assert [event.token_id for event in own] == answer.token_ids
        assert "".join(event.text for event in own) == answer.text
        assert own[-1].completion == answer
    assert ticket.is_done


def test_a_full_queue_refuses_with_the_numbers(endless):
    with pytest.raises(ZeroDivisionError), EngineThread(endless, max_queued=2) as front:
        running = [front.submit(asked(0), ENDLESS) for _ in range(2)]
        for ticket in running:
            next(ticket.events())
        _wait_for(lambda: front.num_queued == 0)
        front.submit(asked(0), ENDLESS)  # the refill that the generator keeps in its own queue
        _wait_for(lambda: front.num_queued == 0)
        waiting = [front.submit(asked(0), ENDLESS) for _ in range(2)]
        with pytest.raises(BusyError, match="2 requests are waiting and max_queued is 2"):
            front.submit(asked(0), ENDLESS)
        raise ZeroDivisionError  # leave without an end of what runs
    for ticket in [*running, *waiting]:
        with pytest.raises(BusyError, match="closed before the request was answered"):
            ticket.result(timeout_s=10)


def test_cancelling_ends_a_request_where_it_is_running_or_queued(endless):
    with EngineThread(endless) as front:
        tickets = [front.submit(asked(0), replace(ENDLESS, num_samples=2)) for _ in range(5)]
        begun = []
        for event in tickets[0].events():
            begun.append(event)
            if len(begun) == 3:
                tickets[0].cancel()
        answers = tickets[0].result(timeout_s=10)
        assert [answer.finish_reason for answer in answers] == ["cancelled"] * 2
        for sample, answer in enumerate(answers):
            assert answer.token_ids == [event.token_id for event in begun if event.sample == sample]
        for ticket in reversed(tickets[1:]):
            ticket.cancel()
            assert {answer.finish_reason for answer in ticket.result(timeout_s=10)} == {"cancelled"}
        tickets[0].cancel()  # too late is no error
    assert not endless.has_work


def test_a_deadline_ends_a_request_where_it_is(endless):
    with EngineThread(endless) as front:
        blockers = [front.submit(asked(0), ENDLESS) for _ in range(3)]
        next(blockers[0].events())
        (queued,) = front.submit(asked(0), ENDLESS, timeout_s=0.0).result(timeout_s=10)
        assert (queued.finish_reason, queued.token_ids) == ("cancelled", [])
        for ticket in blockers:
            ticket.cancel()
        (running,) = front.submit(asked(0), ENDLESS, timeout_s=0.5).result(timeout_s=10)
        assert running.finish_reason == "cancelled" and 0 < len(running.token_ids) < 1500


def test_waiting_for_a_result_can_be_given_up_without_ending_the_request(endless):
    with EngineThread(endless) as front:
        ticket = front.submit(asked(0), ENDLESS)
        with pytest.raises(TimeoutError, match="no result within 0.01 s"):
            ticket.result(timeout_s=0.01)
        next(ticket.events())
        ticket.cancel()


def test_a_request_that_fails_fails_alone(pair):
    good, broken = asked(0), Prompt.ask("Which?", Features(torch.zeros(2, 4, 5), None))
    with EngineThread(Generator(*pair)) as front:
        tickets = [front.submit(prompt, Sampling(max_tokens=4)) for prompt in (good, broken, good)]
        useless = front.submit(good, Sampling(max_tokens=0))
        assert tickets[0].result(timeout_s=30) == tickets[2].result(timeout_s=30)
        with pytest.raises(GenerationError, match="could not be answered"):
            tickets[1].result(timeout_s=30)
        with pytest.raises(GenerationError):
            list(tickets[1].events())
        with pytest.raises(ConfigError, match="max_tokens is 0"):
            useless.result(timeout_s=30)


def test_closing_finishes_what_was_submitted_where_that_is_asked(pair):
    front = EngineThread(Generator(*pair, max_prompts=2))
    tickets = [front.submit(asked(number), Sampling(max_tokens=5)) for number in range(6)]
    front.close(finish=True)
    assert all(ticket.is_done and len(ticket.result()) == 1 for ticket in tickets)
    with pytest.raises(BusyError, match="takes no more requests"):
        front.submit(asked(0), Sampling())
    front.close()  # twice is no error


class Failing(Generator):
    """Its third step breaks what no request is to blame for."""

    num_steps = 0

    def step(self):
        self.num_steps += 1
        if self.num_steps == 3:
            raise RuntimeError("the machine is on fire")
        return super().step()


def test_a_failure_of_the_owner_reaches_every_waiter(pair):
    front = EngineThread(Failing(*pair, max_prompts=1))
    tickets = [front.submit(asked(number), Sampling(temperature=1.0, max_tokens=300)) for number in range(4)]
    for ticket in tickets:
        with pytest.raises(BusyError, match="has ended: RuntimeError: the machine is on fire") as raised:
            ticket.result(timeout_s=30)
        assert isinstance(raised.value.__cause__, RuntimeError)
        with pytest.raises(BusyError):
            list(ticket.events())
    with pytest.raises(BusyError, match="on fire"):
        front.submit(asked(0), Sampling())
    front.close()


def _wait_for(condition) -> None:
    limit_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < limit_s
        time.sleep(0.005)


def test_a_call_runs_in_the_owner_s_thread_between_two_steps(endless):
    with pytest.raises(ZeroDivisionError), EngineThread(endless) as front:
        ticket = front.submit(asked(1), ENDLESS)
        next(ticket.events())
        assert front.call(lambda: threading.current_thread().name).result(60) == "engine"
        assert not ticket.is_done  # the request goes on beside it

        def fail() -> None:
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            front.call(fail).result(60)
        assert front.is_alive and not ticket.is_done
        raise ZeroDivisionError
    assert not front.is_alive
    with pytest.raises(BusyError):
        front.call(lambda: None)


def test_calls_are_bounded_and_made_before_a_closing_thread_ends(pair):
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> str:
        begun.set()
        go_on.wait(60)
        return "first"

    with EngineThread(Generator(*pair), max_queued=1) as front:
        first = front.call(wait)
        assert begun.wait(60)
        second = front.call(lambda: "second")
        with pytest.raises(BusyError, match="max_queued is 1"):
            front.call(lambda: "third")
        go_on.set()
    assert (first.result(0), second.result(0)) == ("first", "second")


def test_a_listener_gets_the_events_and_then_none(pair):
    heard: list = []
    with EngineThread(Generator(*pair)) as front:
        ticket = front.submit(asked(1), Sampling(temperature=1.0, max_tokens=9, seed=2), on_event=heard.append)
        (answer,) = ticket.result(timeout_s=60)
    assert [event.token_id for event in heard[:-1]] == answer.token_ids
    assert heard[-1] is None and heard[-2].completion == answer
