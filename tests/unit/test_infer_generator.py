"""Continuous batching: what a request gets never depends on what runs beside it."""

import random
from dataclasses import replace

import pytest
import torch
from torch import nn

from r1omni.core.errors import ConfigError, GenerationError
from r1omni.infer.completion import Completion, Event
from r1omni.infer.embedding import embed_prompts, stop_ids
from r1omni.infer.features import Features
from r1omni.infer.generator import Generator
from r1omni.infer.kv_pool import PoolSize
from r1omni.infer.live_rows import kv_shape
from r1omni.infer.prompt import Prompt, Sampling
from small_model import small_model


@pytest.fixture(scope="module")
def pair():
    """A model that writes a few tokens only: a number drawn seldom lies within rounding of the border of two tokens."""
    model, processor = small_model()
    ids = {*processor.tokenizer("the happy sad voice, a brow!")["input_ids"], processor.tokenizer.eos_token_id}
    unused = torch.tensor([token_id not in ids for token_id in range(model.config.text_config.vocab_size)])
    model.lm_head.register_forward_hook(lambda head, inputs, logits: logits.masked_fill(unused, -torch.inf))
    return model.eval(), processor


def some_prompts(model: nn.Module, count: int) -> list[Prompt]:
    """Questions of several lengths; about clips with both sides, one, or none."""
    config, generator = model.config, torch.Generator().manual_seed(0)
    prompts = []
    for number in range(count):
        video = torch.randn(2, config.grid_patches**2, config.vision_config.hidden_size, generator=generator)
        audio = torch.randn(config.audio_tokens, config.audio_config.d_model, generator=generator)
        features = Features(video if number % 3 else None, audio if number % 4 else None)
        prompts.append(Prompt.ask("Which?" + " so happy" * (number % 5), features))
    return prompts


def mixed_samplings(count: int) -> list[Sampling]:
    """Every setting differs from request to request."""
    rng = random.Random(1)
    return [
        Sampling(
            temperature=rng.choice([0.0, 0.7, 1.0]),
            max_tokens=rng.choice([1, 2, 5, 12, 24]),
            seed=number,
            num_samples=rng.choice([1, 1, 2, 3]),
            stop=rng.choice([(), (), ("a",), ("e", "th")]),
        )
        for number in range(count)
    ]


def collect(events: list[Event]) -> dict[int, dict[int, Completion]]:
    """Request -> sample -> completion, after a check that the texts of the events put together are its text."""
    texts: dict[tuple[int, int], str] = {}
    tokens: dict[tuple[int, int], list[int]] = {}
    found: dict[int, dict[int, Completion]] = {}
    for event in events:
        row = event.request, event.sample
        texts[row] = texts.get(row, "") + event.text
        tokens.setdefault(row, []).append(event.token_id)
        if event.completion is not None:
            assert texts[row] == event.completion.text
            assert tokens[row] == event.completion.token_ids
            found.setdefault(event.request, {})[event.sample] = event.completion
    return found


def drain(generator: Generator) -> list[Event]:
    events = []
    while generator.has_work:
        events += generator.step()
    return events


def same(left: Completion, right: Completion) -> bool:
    """Equal but for rounding in the log-probabilities."""
    return replace(left, logprobs=[]) == replace(right, logprobs=[]) and left.logprobs == pytest.approx(
        right.logprobs, abs=1e-4
    )


@pytest.fixture(scope="module")
def alone(pair) -> list[list[Completion]]:
    """What 16 requests of mixed settings get, each by itself."""
    model, processor = pair
    asked = zip(some_prompts(model, 16), mixed_samplings(16), strict=True)
    return [Generator(model, processor).run([prompt], sampling)[0] for prompt, sampling in asked]


@pytest.mark.parametrize("max_prompts", [1, 3, 32])
def test_a_request_gets_the_same_alone_and_beside_others_that_enter_and_leave(pair, alone, max_prompts):
    model, processor = pair
    prompts, samplings = some_prompts(model, 16), mixed_samplings(16)
    assert {answer.finish_reason for group in alone for answer in group} == {"stop", "length"}
    beside = Generator(model, processor, max_prompts=max_prompts).run(prompts, samplings)
    generator, numbers, events = Generator(model, processor, max_prompts=max_prompts), [], []
    for prompt, sampling in zip(prompts, samplings, strict=True):  # one more enters at every step
        numbers += generator.admit([prompt], sampling)
        events += generator.step()
    streamed = collect([*events, *drain(generator)])
    for number, expected, ours in zip(numbers, alone, beside, strict=True):
        assert len(expected) == len(ours) == len(streamed[number])
        for sample, answer in enumerate(expected):
            assert same(answer, ours[sample])
            assert same(answer, streamed[number][sample])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_arrivals_cancellations_and_a_budget_at_random_change_no_answer(pair, seed):
    model, processor = pair
    rng, prompts = random.Random(seed), some_prompts(model, 12)
    generator = Generator(model, processor, max_prompts=rng.choice([2, 5, 16]), kv_bytes=rng.choice([None, 150_000]))
    asked: dict[int, tuple[Prompt, Sampling]] = {}
    cancelled: dict[int, list[Completion]] = {}
    events: list[Event] = []
    for _ in range(25):
        for sampling in rng.sample(mixed_samplings(16), rng.choice([0, 0, 1, 3])):
            prompt = rng.choice(prompts)
            (number,) = generator.admit([prompt], sampling, stream=rng.random() < 0.5)
            asked[number] = prompt, sampling
        if asked and rng.random() < 0.2:
            number = rng.choice(list(asked)[-4:])
            if answers := generator.cancel(number):
                cancelled[number] = answers
        events += generator.step()
        assert generator.kv_bytes is None or generator.kv_bytes_allocated <= generator.kv_bytes
    events += drain(generator)
    assert cancelled and generator.kv_bytes_allocated == 0
    for number, (prompt, sampling) in asked.items():
        (expected,) = Generator(model, processor).run([prompt], sampling)
        found = {e.sample: e.completion for e in events if e.request == number and e.completion is not None}
        for sample, answer in enumerate(expected):
            if number in cancelled:
                begun = cancelled[number][sample].token_ids
                assert begun == answer.token_ids[: len(begun)]
            else:
                assert same(answer, found[sample])


def test_greedy_answers_equal_generate_of_transformers(pair):
    model, processor = pair
    prompts = some_prompts(model, 4)
    answers = Generator(model, processor, max_prompts=2).run(prompts, Sampling(max_tokens=15))
    for prompt, (answer,) in zip(prompts, answers, strict=True):
        embeds, mask = embed_prompts(model, processor, [prompt])
        expected = model.generate(
            inputs_embeds=embeds,
            attention_mask=mask.long(),
            max_new_tokens=15,
            do_sample=False,
            eos_token_id=stop_ids(model, processor),
            pad_token_id=processor.tokenizer.pad_token_id,
        )
        assert answer.token_ids == expected[0].tolist()


def test_each_number_is_drawn_from_the_requests_own_seed(pair):
    """The first token inverts the cumulative distribution at the first number of each row of the seed's block."""
    model, processor = pair
    (prompt,) = some_prompts(model, 1)
    sampling = Sampling(temperature=1.0, max_tokens=3, seed=7, num_samples=4)
    (answers,) = Generator(model, processor).run([prompt], sampling)
    embeds, mask = embed_prompts(model, processor, [prompt])
    cumulative = model(inputs_embeds=embeds, attention_mask=mask.long()).logits[0, -1].softmax(-1).cumsum(-1)
    numbers = torch.empty(4, 3).uniform_(generator=torch.Generator().manual_seed(7))
    expected = [int((cumulative <= number).sum()) for number in numbers[:, 0]]
    assert [answer.token_ids[0] for answer in answers] == expected
    assert len(set(expected)) > 1


def test_a_stop_string_ends_an_answer_and_is_cut_from_its_text(pair):
    model, processor = pair
    (prompt,) = some_prompts(model, 1)
    free = Sampling(temperature=1.0, max_tokens=24, seed=3)
    ((whole,),) = Generator(model, processor).run([prompt], free)
    stop = whole.text[len(whole.text) // 2 :][:2]
    ((cut,),) = Generator(model, processor).run([prompt], replace(free, stop=(stop,)))
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish_reason == "stop" and not cut.truncated
    assert cut.token_ids == whole.token_ids[: len(cut.token_ids)] and len(cut.token_ids) < len(whole.token_ids)
    written = processor.tokenizer.decode(cut.token_ids, skip_special_tokens=True)
    assert stop in written and stop not in processor.tokenizer.decode(cut.token_ids[:-1], skip_special_tokens=True)


def test_cancelled_requests_free_their_places_at_once(pair):
    model, processor = pair
    prompts = some_prompts(model, 3)
    long = Sampling(temperature=1.0, max_tokens=200, seed=1, num_samples=2)
    generator = Generator(model, processor, max_prompts=1)
    first, second, third = generator.admit(prompts, [long, long, replace(long, max_tokens=2)])
    events = [event for event in generator.step() if event.request == first]
    assert (generator.num_running, generator.num_waiting, generator.num_rows) == (1, 2, 2)
    written = {sample: [e.token_id for e in events if e.sample == sample] for sample in range(2)}
    cancelled = generator.cancel(first)
    assert [answer.token_ids for answer in cancelled] == [written[0], written[1]]
    assert {answer.finish_reason for answer in cancelled} == {"cancelled"}
    assert generator.num_running == 0
    assert [answer.token_ids for answer in generator.cancel(second)] == [[], []]
    assert generator.num_waiting == 1
    assert collect(drain(generator)).keys() == {third}
    assert generator.cancel(first) == []
    assert generator.kv_bytes_allocated == 0


def test_no_more_prompts_are_live_than_allowed_and_all_are_answered_in_their_order(pair):
    model, processor = pair
    generator = Generator(model, processor, max_prompts=2)
    numbers = generator.admit(some_prompts(model, 6), Sampling(temperature=1.0, max_tokens=4))
    ended = []
    while generator.has_work:
        events = generator.step()
        assert generator.num_running <= 2
        ended += [event.request for event in events if event.completion is not None]
    assert sorted(ended) == numbers
    first = [ended.index(number) for number in numbers]
    assert max(first[:2]) < min(first[4:])


def test_the_budget_bounds_what_is_allocated_and_changes_no_answer(pair):
    model, processor = pair
    prompts, samplings = some_prompts(model, 10), mixed_samplings(10)
    expected = Generator(model, processor).run(prompts, samplings)
    shape = kv_shape(model.language_model)
    longest = max(len(processor.prompt_ids(prompt.messages, 2, True)) for prompt in prompts)
    budget = shape.num_bytes(PoolSize(slots=2, prompt_tokens=longest, rows=5, own_tokens=24))
    generator, most, most_prompts, events = Generator(model, processor, kv_bytes=budget), 0, 0, []
    numbers = generator.admit(prompts, samplings)
    while generator.has_work:
        events += generator.step()
        most, most_prompts = max(most, generator.kv_bytes_allocated), max(most_prompts, generator.num_running)
        assert generator.kv_bytes_allocated <= budget
    assert most > budget / 2 and most_prompts > 1
    found = collect(events)
    for number, group in zip(numbers, expected, strict=True):
        assert all(same(answer, found[number][sample]) for sample, answer in enumerate(group))


def test_a_request_that_alone_exceeds_the_budget_is_refused_with_the_figures(pair):
    model, processor = pair
    (prompt,) = some_prompts(model, 1)
    generator = Generator(model, processor, kv_bytes=100_000)
    with pytest.raises(
        ConfigError, match=r"3 answers of up to 9000 tokens needs [\d,]+ bytes.*kv_bytes allows 100,000"
    ):
        generator.admit([prompt, prompt], [Sampling(max_tokens=1), Sampling(max_tokens=9000, num_samples=3)])
    assert not generator.has_work


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        (Sampling(max_tokens=0), "max_tokens is 0"),
        (Sampling(num_samples=0), "num_samples is 0"),
        (Sampling(temperature=-0.1), "temperature is -0.1"),
        (Sampling(temperature=float("nan")), "temperature is nan"),
    ],
)
def test_a_sampling_that_cannot_be_used_is_refused(pair, sampling, message):
    model, processor = pair
    with pytest.raises(ConfigError, match=message):
        Generator(model, processor).admit(some_prompts(model, 1), sampling)


def test_a_prompt_that_cannot_be_read_fails_alone(pair):
    """One of three prompts read together has features of the wrong width."""
    model, processor = pair
    prompts = some_prompts(model, 3)
    broken = replace(prompts[1], features=Features(torch.zeros(2, 4, 5), None))
    generator = Generator(model, processor)
    numbers = generator.admit([prompts[0], broken, prompts[2]], Sampling(max_tokens=4))
    with pytest.raises(GenerationError, match=f"Request {numbers[1]} could not be answered") as raised:
        generator.step()
    assert raised.value.request == numbers[1]
    found = collect(drain(generator))
    expected = Generator(model, processor).run([prompts[0], prompts[2]], Sampling(max_tokens=4))
    assert same(found[numbers[0]][0], expected[0][0]) and same(found[numbers[2]][0], expected[1][0])


def test_logits_that_are_no_numbers_end_their_request_alone(pair):
    model, processor = pair
    prompts = some_prompts(model, 4)
    sampling = Sampling(temperature=1.0, max_tokens=6, num_samples=2, seed=2)
    expected = Generator(model, processor).run(prompts, sampling)
    sick = replace(prompts[1], features=Features(prompts[1].features.video * torch.nan, None))
    generator = Generator(model, processor, max_prompts=2)
    numbers = generator.admit([prompts[0], sick, prompts[2], prompts[3]], sampling)
    events = []
    with pytest.raises(GenerationError, match="NaN") as raised:
        while True:
            events += generator.step()
    assert raised.value.request == numbers[1]
    found = collect([*events, *drain(generator)])
    for number, group in zip(numbers, expected, strict=True):
        if number != numbers[1]:  # those that took the sick one's places are well
            assert all(same(answer, found[number][sample]) for sample, answer in enumerate(group))


def test_an_error_leaves_the_model_in_its_mode_and_the_generator_usable():
    model, processor = small_model()
    model.train()
    model.language_model.layers[0].eval()  # not all parts are in one mode
    modes = [part.training for part in model.modules()]
    prompts, generator = some_prompts(model, 2), Generator(model, processor)
    seen = []

    def fail(module: nn.Module, *_: object) -> None:
        seen.append(module.training)
        if len(seen) == 3:
            raise RuntimeError("out of luck")

    handle = model.lm_head.register_forward_hook(fail)
    with pytest.raises(GenerationError, match="RuntimeError: out of luck"):
        generator.run(prompts, Sampling(max_tokens=9))
    handle.remove()
    assert seen == [False] * 3
    assert [part.training for part in model.modules()] == modes
    assert not generator.has_work
    assert [len(group) for group in generator.run(prompts, Sampling(max_tokens=9))] == [1, 1]
    assert [part.training for part in model.modules()] == modes


def test_run_goes_on_beside_requests_that_were_admitted_before(pair):
    model, processor = pair
    prompts, sampling = some_prompts(model, 3), Sampling(temperature=1.0, max_tokens=10, seed=5)
    generator = Generator(model, processor)
    numbers = generator.admit(prompts[:1], sampling)
    events = generator.step()
    answers = generator.run(prompts[1:], sampling)
    found = collect([*events, *drain(generator)])
    expected = Generator(model, processor).run(prompts, sampling)
    assert same(found[numbers[0]][0], expected[0][0])
    assert all(same(ours, theirs) for (ours,), (theirs,) in zip(answers, expected[1:], strict=True))


def test_weights_are_read_anew_after_each_run():
    model, processor = small_model()
    model.bfloat16().eval()
    prompts, sampling = some_prompts(model, 2), Sampling(max_tokens=12)
    generator = Generator(model, processor)
    before = generator.run(prompts, sampling)
    with torch.no_grad():
        for parameter in model.language_model.parameters():
            parameter.data.mul_(-1.5)
    after = generator.run(prompts, sampling)
    assert before != after
    assert after == Generator(model, processor).run(prompts, sampling)


def test_adapters_are_part_of_the_model():
    peft = pytest.importorskip("peft")
    model, processor = small_model()
    prompts, sampling = some_prompts(model, 3), Sampling(max_tokens=8)
    plain = Generator(model.eval(), processor).run(prompts, sampling)
    wrapped = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=r"language_model\..*\.(q_proj|down_proj)"))
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    answers = Generator(wrapped, processor).run(prompts, sampling)
    assert answers != plain
    embeds, mask = embed_prompts(model, processor, prompts[:1])
    expected = model.generate(
        inputs_embeds=embeds,
        attention_mask=mask.long(),
        max_new_tokens=8,
        do_sample=False,
        eos_token_id=stop_ids(model, processor),
        pad_token_id=processor.tokenizer.pad_token_id,
    )
    assert answers[0][0].token_ids == expected[0].tolist()
