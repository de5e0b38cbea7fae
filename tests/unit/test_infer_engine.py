"""The feature cache, and the engine on real files."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.infer.cache import FeatureCache
from r1omni.infer.embedding import stop_ids
from r1omni.infer.engine import Engine
from r1omni.infer.features import Features
from r1omni.media.encode import write_video
from r1omni.model.modeling import HumanOmniForConditionalGeneration
from small_model import MadeUpFeatures, small_clips, small_model


def entry(value: float, size: int = 1000) -> Features:
    return Features(torch.full((1, 1, size), float(value)), None)


def test_what_was_put_comes_back(tmp_path):
    cache = FeatureCache(tmp_path)
    both = Features(torch.randn(2, 3, 4), torch.randn(5, 6).bfloat16())
    cache.put("ab" * 32, both)
    found = FeatureCache(tmp_path).get("ab" * 32)
    assert torch.equal(found.video, both.video) and torch.equal(found.audio, both.audio)
    assert cache.get("cd" * 32) is None


@pytest.mark.parametrize("damage", [b"", b"half", b"\xff" * 5000])
def test_a_damaged_entry_is_a_miss_and_is_removed(tmp_path, damage):
    cache = FeatureCache(tmp_path)
    cache.put("ab" * 32, entry(1.0))
    path = next(tmp_path.glob("*/*.safetensors"))
    path.write_bytes(damage if damage != b"half" else path.read_bytes()[:2000])
    assert cache.get("ab" * 32) is None and not path.exists()


def test_oldest_entries_go_when_the_folder_is_full(tmp_path):
    cache = FeatureCache(tmp_path, max_bytes=20_000)
    for number in range(12):
        cache.put(f"{number:064d}", entry(number))
        cache.get(f"{0:064d}")  # read again and again, so never the oldest
    sizes = sum(path.stat().st_size for path in tmp_path.glob("*/*"))
    assert sizes <= 20_000
    assert cache.get(f"{0:064d}") is not None and cache.get(f"{11:064d}") is not None
    assert cache.get(f"{1:064d}") is None


def _write_many(folder: str) -> None:
    cache = FeatureCache(folder)
    for number in range(40):
        cache.put(f"{number % 5:064d}", entry(number % 5))


def test_concurrent_writers_never_show_half_an_entry(tmp_path):
    writers = [multiprocessing.get_context("fork").Process(target=_write_many, args=(str(tmp_path),)) for _ in range(2)]
    cache = FeatureCache(tmp_path)
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        for number in range(5):
            found = cache.get(f"{number:064d}")
            assert found is None or (found.video == number).all()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert not list(tmp_path.glob("*/*.partial"))


class CountingTowers(HumanOmniForConditionalGeneration):
    """Counts the clips that pass the vision tower."""

    encoded = 0

    def encode_video(self, pixel_values):
        self.encoded += len(pixel_values)
        return super().encode_video(pixel_values)


def counting(model) -> CountingTowers:
    towers = CountingTowers(model.config).eval()
    towers.load_state_dict(model.state_dict())
    return towers


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


def test_towers_run_once_per_clip_and_errors_stay_with_their_clip(tmp_path, clips):
    model, processor = small_model()
    towers = counting(model)
    for _ in range(2):  # the second engine finds everything on disk
        engine = Engine(towers, processor, cache=FeatureCache(tmp_path / "cache"), num_frames=2)
        found = engine.features(clips)
        assert found[0].video.shape[0] == 2 and found[0].audio is not None and found[1].audio is None
        assert isinstance(found[2], MediaError) and found[3].kind == "missing"
    assert towers.encoded == 2
    written = engine.generate(clips, "Which?", max_new_tokens=4)
    assert len(written[0][0].token_ids) <= 4 and isinstance(written[2], MediaError)
    direct = model.encode_video(processor.process_media(_media(clips[0].path))["pixel_values"][None])[0]
    torch.testing.assert_close(found[0].video, direct)


def test_a_second_question_about_a_clip_costs_no_tower(clips):
    model, processor = small_model()
    towers = counting(model)
    engine = Engine(towers, processor, num_frames=2)  # nothing on disk
    engine.generate(clips[:2], "Which?", max_new_tokens=2)
    assert towers.encoded == 2
    engine.generate(clips[:2], "And why?", max_new_tokens=2)
    engine.label_probabilities(clips[:2], "Which?", ["", ""], ["happy", "sad"])
    assert towers.encoded == 2


def test_greedy_answers_equal_generate_with_the_checkpoints_repetition_penalty(clips):
    model, processor = small_model()
    model.eval()
    model.generation_config.repetition_penalty = 100.0
    model.generation_config.eos_token_id = stop_ids(model, processor)
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    question, length = "Which emotion?", 12
    written = Engine(model, processor, num_frames=2).generate(clips[:2], question, max_new_tokens=length)
    free = Engine(model, processor, num_frames=2)
    for clip, answers in zip(clips[:2], written, strict=True):
        batch = processor([_media(clip.path)], [question])
        expected = model.generate(**batch, max_new_tokens=length, do_sample=False)[0].tolist()
        assert not isinstance(answers, MediaError) and answers[0].token_ids == expected
    model.generation_config.repetition_penalty = None
    assert [a[0].token_ids for a in free.generate(clips[:2], question, max_new_tokens=length)] != [
        a[0].token_ids for a in written
    ]


def test_only_what_is_read_is_built_and_computed(clips):
    model, processor = small_model()
    names = list(model.state_dict())
    assert len(model.vision_tower.layers) == model.config.vision_config.num_hidden_layers - 1
    assert not [n for n in names if "post_layernorm" in n or "vision_tower.head" in n or "pooler" in n]
    assert not [n for n in names if "classifier" in n or "decoder" in n]
    rows = []
    handle = model.lm_head.register_forward_hook(lambda module, inputs, output: rows.append(inputs[0].shape[:-1]))
    Engine(model, processor, num_frames=2).generate(clips[:2], "Which?", max_new_tokens=3)
    model.generate(**processor([_media(clips[0].path)], ["Which?"]), max_new_tokens=3, do_sample=False)
    handle.remove()
    assert max(shape.numel() for shape in rows) == 2  # the last position of each prompt, then one per new token


def _media(path: Path):
    from r1omni.media.decode import load_media

    return load_media(path, num_frames=2)


def test_samples_of_a_clip_depend_on_seed_and_id_alone():
    model, processor = small_model()
    engine = MadeUpFeatures(model, processor)
    options = dict(num_samples=3, temperature=1.0, max_new_tokens=6)
    together = engine.generate(small_clips(5), "Which?", seed=1, **options)
    alone = engine.generate(small_clips(5)[3:4], "Which?", seed=1, **options)
    other = engine.generate(small_clips(5)[3:4], "Which?", seed=2, **options)
    assert [a.token_ids for a in together[3]] == [a.token_ids for a in alone[0]] != [a.token_ids for a in other[0]]
    assert len({tuple(a.token_ids) for a in alone[0]}) == 3


def test_label_probabilities_equal_rows_of_their_own():
    """P(label | clip, text up to <answer>), normalised over the labels, against one plain row per label."""
    model, processor = small_model()
    model.eval()
    engine = MadeUpFeatures(model, processor)
    clips, labels = small_clips(3), ["happy", "sad", "angry"]
    texts = ["<think>so sad</think>\n<answer>happy</answer>", "no tags", "<think>brows</think>\n<answer>sad"]
    found = engine.label_probabilities(clips, "Which?", texts, labels)
    for clip, text, chances in zip(clips, texts, found, strict=True):
        head = text[: text.index("<answer>") + 8] if "<answer>" in text else ""
        closing = "</answer>" if head else "<|im_end|>"
        prompt = processor.process_text(["Which?"], [clip.id[0] != "a"], [clip.id[0] != "v"], [2])
        features = engine.features([clip])[0]
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
    (found,) = Engine(model, processor, num_frames=2).features([Clip(id="long", path=tmp_path / "long.mp4")])
    whole = processor.process_media(_media(tmp_path / "long.mp4"))["input_features"]
    assert isinstance(found, Features) and found.audio is not None
    torch.testing.assert_close(found.audio, model.encode_audio(whole[None])[0])
