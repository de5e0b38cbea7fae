"""The engine on real files."""

from pathlib import Path

import numpy as np
import pytest
import torch

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.infer.embedding import stop_ids
from r1omni.infer.engine import Engine
from r1omni.infer.features import Features
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
    written = Engine(model, processor, num_frames=2).generate(clips, "Which?", max_new_tokens=4)
    assert len(written[0][0].token_ids) <= 4 and len(written[1]) == 1
    assert isinstance(written[2], MediaError) and written[3].kind == "missing"


def test_a_second_question_about_a_clip_costs_no_tower(clips):
    model, processor = small_model()
    passes = count_towers(model)
    engine = Engine(model, processor, num_frames=2)  # nothing on disk
    engine.generate(clips[:2], "Which?", max_new_tokens=2)
    assert sum(passes) == 2
    engine.generate(clips[:2], "And why?", max_new_tokens=2)
    engine.label_probabilities(clips[:2], "Which?", ["", ""], ["happy", "sad"])
    assert sum(passes) == 2


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
