"""The engine on real files."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.infer.embedding import stop_ids
from r1omni.infer.engine import build_engine
from r1omni.infer.features import Features
from r1omni.infer.prompt import Prompt, Sampling
from r1omni.media.encode import write_video
from r1omni.model.modeling import HumanOmniForConditionalGeneration
from small_model import MadeUpFeatures, small_clips, small_model


def count_towers(model: HumanOmniForConditionalGeneration) -> list[int]:
    """Return a list that gets the number of clips in each pass of the vision tower; a clip has two frames."""
    passes: list[int] = []
    model.vision_tower.register_forward_hook(lambda tower, inputs, output: passes.append(len(output) // 2))
    return passes


@pytest.fixture
def clips(tmp_path) -> list[Clip]:
    rng = np.random.default_rng(0)
    tone = np.sin(np.arange(16000) / 20).astype(np.float32) / 2
    paths = []
    for number, waveform in enumerate([tone, None]):
        frames = rng.integers(0, 255, (10, 32, 32, 3), dtype=np.uint8)
        paths.append(tmp_path / f"{number}.mp4")
        write_video(paths[-1], frames, 10, waveform)
    (tmp_path / "text.mp4").write_text("no film")
    paths += [tmp_path / "text.mp4", tmp_path / "missing.mp4"]
    return [Clip(id=path.stem, path=path) for path in paths]


def test_a_clip_that_cannot_be_read_has_its_error_beside_the_others_answers(clips):
    model, processor = small_model()
    engine = build_engine(model, processor, keeps=False)
    written = list(engine.answer(clips, "Which?", Sampling(max_tokens=4)))
    assert len(written[0][0].token_ids) <= 4 and len(written[1]) == 1
    assert isinstance(written[2], MediaError) and written[3].kind == "missing"


def test_a_second_question_about_a_clip_costs_no_tower(clips):
    model, processor = small_model()
    passes = count_towers(model)
    engine = build_engine(model, processor, keeps=False)  # nothing on disk
    first = [Prompt.ask("Which?", features) for features in engine.encoder.features(clips[:2])]
    texts = [answer.text for (answer,) in engine.generator.run(first, Sampling(max_tokens=2))]
    engine.scorer.label_probabilities(first, texts, ["happy", "sad"])
    assert sum(passes) == 2
    again = [Prompt.ask("And why?", features) for features in engine.encoder.features(clips[:2])]
    engine.generator.run(again, Sampling(max_tokens=2))
    assert sum(passes) == 2


def test_greedy_answers_equal_generate_with_the_checkpoints_repetition_penalty(clips):
    model, processor = small_model()
    model.eval()
    model.generation_config.repetition_penalty = 100.0
    model.generation_config.eos_token_id = stop_ids(model, processor)
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    question, length = "Which emotion?", 12
    engine, sampling = build_engine(model, processor, keeps=False), Sampling(max_tokens=length)
    written = list(engine.answer(clips[:2], question, sampling))
    for clip, answers in zip(clips[:2], written, strict=True):
        batch = processor([_media(clip.path)], [question])
        expected = model.generate(**batch, max_new_tokens=length, do_sample=False)[0].tolist()
        assert not isinstance(answers, MediaError) and answers[0].token_ids == expected
    model.generation_config.repetition_penalty = None
    free = engine.answer(clips[:2], question, sampling)
    assert [answer.token_ids for (answer,) in free] != [answer.token_ids for (answer,) in written]


def test_only_what_is_read_is_built_and_computed(clips):
    model, processor = small_model()
    names = list(model.state_dict())
    assert len(model.vision_tower.layers) == model.config.vision_config.num_hidden_layers - 1
    assert not [n for n in names if "post_layernorm" in n or "vision_tower.head" in n or "pooler" in n]
    assert not [n for n in names if "classifier" in n or "decoder" in n]
    rows = []
    handle = model.lm_head.register_forward_hook(lambda module, inputs, output: rows.append(inputs[0].shape[:-1]))
    list(build_engine(model, processor, keeps=False).answer(clips[:2], "Which?", Sampling(max_tokens=3)))
    model.generate(**processor([_media(clips[0].path)], ["Which?"]), max_new_tokens=3, do_sample=False)
    handle.remove()
    assert max(shape.numel() for shape in rows) == 2  # the last position of each prompt, then one per new token


def _media(path: Path):
    from r1omni.media.decode import load_media

    return load_media(path, num_frames=2)


def test_samples_of_a_clip_depend_on_seed_and_id_alone():
    model, processor = small_model()
    engine = MadeUpFeatures(model, processor)
    sampling = Sampling(temperature=1.0, max_tokens=6, seed=1, num_samples=3)
    together = list(engine.answer(small_clips(5), "Which?", sampling))
    (alone,) = engine.answer(small_clips(5)[3:4], "Which?", sampling)
    (other,) = engine.answer(small_clips(5)[3:4], "Which?", replace(sampling, seed=2))
    assert [a.token_ids for a in together[3]] == [a.token_ids for a in alone] != [a.token_ids for a in other]
    assert len({tuple(a.token_ids) for a in alone}) == 3


def test_a_clip_that_comes_again_is_drawn_anew():
    engine = MadeUpFeatures(*small_model())
    clip = small_clips(1)
    first, second = engine.answer(clip * 2, "Which?", Sampling(temperature=1.0, max_tokens=12, seed=1))
    assert first[0].token_ids != second[0].token_ids


def test_answers_come_in_the_clips_order_and_clips_are_taken_as_places_get_free():
    model, processor = small_model()
    engine = MadeUpFeatures(model, processor, max_prompts=3)
    unreadable = Clip(id="x-0", path=Path("/made-up/x.mp4"))
    clips = [*small_clips(7), unreadable, *small_clips(9)[7:]]
    taken = []

    def watched():
        for clip in clips:
            taken.append(clip.id)
            yield clip

    sampling = Sampling(temperature=1.0, max_tokens=30, seed=4)
    answers = engine.answer(watched(), "Which?", sampling)
    results = []
    for number, answer in enumerate(answers):
        results.append(answer)
        held = engine.generator.num_running + engine.generator.num_waiting
        assert held <= 4 and len(taken) <= len(clips)  # three live, and a refill of one in the queue
        # What was taken and not returned is being written, or is written and waits for its turn.
        assert number < len(taken)
    assert engine.generator.num_running == 0
    assert isinstance(results[7], MediaError)
    for clip, answer in zip(clips, results, strict=True):
        if clip is not unreadable:
            (alone,) = engine.answer([clip], "Which?", sampling)
            assert [entry.token_ids for entry in alone] == [entry.token_ids for entry in answer]


def test_an_endless_stream_of_clips_is_answered_and_leaving_it_cancels_what_is_being_written():
    engine = MadeUpFeatures(*small_model(), max_prompts=4)
    endless = (Clip(id=str(number), path=Path("/made-up")) for number in itertools.count())
    answers = engine.answer(endless, "Which?", Sampling(temperature=1.0, max_tokens=20))
    assert len(list(itertools.islice(answers, 10))) == 10
    assert engine.generator.num_running > 0
    answers.close()
    assert not engine.generator.has_work and engine.generator.kv_bytes_allocated == 0


def test_two_streams_of_answers_share_a_generator():
    engine = MadeUpFeatures(*small_model(), max_prompts=2)
    sampling = Sampling(temperature=1.0, max_tokens=9, seed=3)
    alone = list(engine.answer(small_clips(6), "Which?", sampling))
    both = zip(
        engine.answer(small_clips(6), "Which?", sampling),
        engine.answer(small_clips(6), "Which?", sampling),
        strict=True,
    )
    for (first, second), expected in zip(both, alone, strict=True):
        assert [a.token_ids for a in first] == [a.token_ids for a in second] == [a.token_ids for a in expected]


def test_label_probabilities_equal_rows_of_their_own():
    """P(label | clip, text up to <answer>), normalised over the labels, against one plain row per label."""
    model, processor = small_model()
    model.eval()
    engine = MadeUpFeatures(model, processor)
    clips, labels = small_clips(3), ["happy", "sad", "angry"]
    texts = ["<think>so sad</think>\n<answer>happy</answer>", "no tags", "<think>brows</think>\n<answer>sad"]
    read = engine.encoder.features(clips)
    found = engine.scorer.label_probabilities([Prompt.ask("Which?", entry) for entry in read], texts, labels)
    for clip, features, text, chances in zip(clips, read, texts, found, strict=True):
        head = text[: text.index("<answer>") + 8] if "<answer>" in text else ""
        closing = "</answer>" if head else "<|im_end|>"
        prompt = processor.process_text(["Which?"], [clip.id[0] != "a"], [clip.id[0] != "v"], [2])
        embeds = model.embed_prompt(**prompt, video_features=[features.video], audio_features=[features.audio])
        scores = []
        for label in labels:
            ids = torch.tensor(processor.tokenizer(f"{head}{label}{closing}")["input_ids"])
            row = torch.cat([embeds, model.language_model.embed_tokens(ids)[None]], dim=1)
            logits = model.lm_head(model.language_model(inputs_embeds=row).last_hidden_state)[0]
            logprobs = logits[embeds.shape[1] - 1 : -1].log_softmax(-1).gather(-1, ids[:, None])
            scores.append(logprobs.sum())
        # Whatever precedes the label is the same in every row and cancels.
        expected = torch.stack(scores).softmax(-1).tolist()
        assert list(chances.values()) == pytest.approx(expected, abs=1e-4)


def test_a_clip_longer_than_what_is_heard_gives_the_features_of_the_whole(tmp_path):
    model, processor = small_model()  # it hears one second
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 255, (30, 32, 32, 3), dtype=np.uint8)
    write_video(tmp_path / "long.mp4", frames, 10, rng.uniform(-0.5, 0.5, 48000).astype(np.float32))
    engine = build_engine(model, processor, keeps=False)
    (found,) = engine.encoder.features([Clip(id="long", path=tmp_path / "long.mp4")])
    whole = processor.process_media(_media(tmp_path / "long.mp4"))["input_features"]
    assert isinstance(found, Features) and found.audio is not None
    torch.testing.assert_close(found.audio, model.encode_audio(whole[None])[0])
