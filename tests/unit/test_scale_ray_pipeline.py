"""The pipeline on Ray without Ray: what is asked of a cluster, and operators that give what one process gives."""

import pickle
import wave
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from r1omni.config.annotation_run import AnnotationConfig
from r1omni.config.cluster import ClusterSection
from r1omni.config.sections import EngineSection
from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError, StoppedError
from r1omni.infer.clip_reader import ClipReader
from r1omni.infer.clip_windows import Split
from r1omni.infer.encoder import Encoder
from r1omni.infer.engine import Engine, build_engine
from r1omni.infer.features import Features
from r1omni.media.encode import write_video
from r1omni.scale.annotation import answer_batch, answer_found, lender
from r1omni.scale.archive import ListedClip
from r1omni.scale.ray_pipeline import (
    ClipJob,
    Failure,
    LanguageModel,
    Parcel,
    Plan,
    Towers,
    decoding,
    encode_in_order,
    worked,
)
from small_model import small_model

CPU_NODE, GPU_NODE, HEAD = {"CPU": 8.0}, {"CPU": 16.0, "GPU": 4.0}, {"memory": 1e9}


def begun_once(operator: str, number: int) -> int:
    return 1


@pytest.mark.parametrize(
    ("wanted", "nodes", "expected"),
    [
        ({}, [CPU_NODE, CPU_NODE], Plan(16, 2, 2, 1.0, 1.0, 0.0, 0.0)),
        ({}, [HEAD, GPU_NODE, GPU_NODE], Plan(32, 8, 8, 1.0, 1.0, 0.5, 0.5)),
        # Two CPUs hold two actors and a decoder, and room for the actors of a lost node: a quarter of the node each.
        ({}, [HEAD, {"CPU": 2.0}, {"CPU": 8.0}], Plan(10, 2, 2, 0.5, 0.5, 0.0, 0.0)),
        ({}, [HEAD], Plan(1, 1, 1, 1.0, 1.0, 0.0, 0.0)),  # workers may come later
        (
            {"decoders": 4, "tower_actors": 1, "model_actors": 3, "tower_gpus": 0.25, "model_gpus": 1, "actor_cpus": 2},
            [GPU_NODE],
            Plan(4, 1, 3, 1.0, 2, 0.25, 1),
        ),
    ],
)
def test_a_plan_follows_the_clusters_size_and_what_was_asked_for(wanted, nodes, expected):
    assert Plan.of(ClusterSection(**wanted), nodes) == expected


def test_an_error_travels_on_in_the_place_of_its_batch():
    def broken(parcel: object) -> object:
        raise MediaError("truncated", "a.mp4 is cut.")

    rows = {"number": [7], "content": [pickle.dumps("a batch")]}
    after = worked(rows, "decoding", begun_once, broken)
    assert after["number"] == [7]
    (content,) = worked(after, "towers", begun_once, lambda parcel: pytest.fail("worked on a failure"))["content"]
    failure = pickle.loads(content)
    assert isinstance(failure, Failure) and isinstance(failure.error, MediaError)
    assert (failure.error.kind, str(failure.error)) == ("truncated", "a.mp4 is cut.")


def test_a_batch_that_ends_process_after_process_stops_the_run():
    rows = {"number": [7], "content": [pickle.dumps("a batch")]}
    (content,) = worked(rows, "towers", lambda *_: 4, lambda parcel: parcel)["content"]
    assert pickle.loads(content) == "a batch"
    (content,) = worked(rows, "towers", lambda *_: 5, lambda parcel: parcel)["content"]
    error = pickle.loads(content).error
    assert isinstance(error, StoppedError) and "Batch 7" in str(error) and "towers" in str(error)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Pictures with sound, sound longer than the model hears, pictures alone, and no film, in turns."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    tone = np.sin(np.arange(16000) / 20).astype(np.float32) / 2
    made = []
    for number in range(7):
        path = folder / f"{number}.mp4"
        if number % 4 == 3:
            path.write_text("no film")
        elif number % 4 == 1:
            path = folder / f"{number}.wav"
            with wave.open(str(path), "wb") as file:
                file.setparams((1, 2, 16000, 0, "NONE", ""))
                file.writeframes((np.tile(tone, 4) * 32767).astype("<i2").tobytes())
        else:
            frames = rng.integers(0, 255, (10, 32, 32, 3), dtype=np.uint8)
            write_video(path, frames, 10, None if number % 4 == 2 else tone)
        made.append(Clip(path.name, path))
    return made


def same(one: Features | MediaError, other: Features | MediaError) -> bool:
    if isinstance(one, MediaError) or isinstance(other, MediaError):
        return str(one) == str(other)
    sides = ((one.video, other.video), (one.audio, other.audio))
    return one.read == other.read and all(
        mine is theirs is None or (mine is not None and theirs is not None and mine.equal(theirs))
        for mine, theirs in sides
    )


@pytest.mark.parametrize("batch_size", [1, 3, 5, 32])
def test_the_towers_see_the_same_parts_as_in_a_stream(clips: list[Clip], batch_size: int):
    model, processor = small_model()
    passes: list[int] = []
    model.vision_tower.register_forward_hook(lambda tower, inputs, output: passes.append(len(inputs[0])))
    encoder = Encoder(model, processor, batch_size=batch_size, num_frames=2)
    whole = [
        features for start in range(0, 7, batch_size) for features in encoder.stream(clips[start : start + batch_size])
    ]
    streamed = passes.copy()
    passes.clear()
    read = [ClipReader(processor, num_frames=2).read(clip) for clip in clips]
    assert all(map(same, whole, encode_in_order(encoder, read)))
    assert passes == streamed


@pytest.mark.parametrize(("in_windows", "evidence"), [(False, False), (True, False), (False, True), (True, True)])
def test_three_operators_give_the_rows_of_one_process(clips: list[Clip], in_windows: bool, evidence: bool):
    settings = EngineSection(batch_size=3)
    run = AnnotationConfig(
        source="-", out=Path("-"), labels=("happy", "sad"), windows=in_windows, evidence=evidence, max_new_tokens=4,
        engine=settings,
    )  # fmt: skip

    def load() -> Engine:
        return build_engine(*small_model(), settings, keeps=False)

    shown = slice(1, 4) if evidence else slice(None)  # text is looked for in every picture, which takes seconds
    items = [ListedClip(clip) for clip in clips[shown]] + [ListedClip(Clip("far", Path("/")), "file:///no/such.mp4")]
    reader = ClipReader(small_model()[1], num_frames=2)
    job = ClipJob(load, lambda names: reader, lender(run), partial(answer_found, run), in_windows)
    row: dict[str, list] = {"number": [0], "content": [pickle.dumps(Parcel(items))]}
    for operator in (decoding(job, begun_once, None), Towers(job, begun_once), LanguageModel(job, begun_once)):
        row = operator(row)
    rows = pickle.loads(row["content"][0])
    assert rows == answer_batch(run, load(), items)
    kinds = [None, None, None, "not-media", None, None, None]
    assert [row["error_kind"] for row in rows] == [*kinds[shown], "unreadable"]
    assert not in_windows or max(row["num_windows"] or 0 for row in rows) > 1
    assert [row["evidence"] is not None for row in rows] == [evidence and row["error"] is None for row in rows]


def as_listed(items: Sequence[ListedClip], split: Split) -> AbstractContextManager[Sequence[Clip]]:
    return nullcontext([listed.clip for listed in items])


def test_a_job_without_answers_ends_with_the_towers(clips: list[Clip]):
    job = ClipJob(
        lambda: build_engine(*small_model(), EngineSection(batch_size=3), keeps=False),
        lambda names: ClipReader(small_model()[1], num_frames=2),
        as_listed,
        None,
    )
    row = {"number": [0], "content": [pickle.dumps(Parcel([ListedClip(clip) for clip in clips[:4]]))]}
    errors = pickle.loads(Towers(job, begun_once)(decoding(job, begun_once, None)(row))["content"][0])
    assert [error and error.kind for error in errors] == [None, None, None, "not-media"]


def test_an_engine_that_cannot_be_loaded_fails_the_batch_and_not_the_actor():
    def load() -> Engine:
        raise StoppedError("no memory")

    job = ClipJob(load, lambda names: pytest.fail("not asked"), as_listed, None)
    (content,) = Towers(job, begun_once)({"number": [0], "content": [pickle.dumps(Parcel([]))]})["content"]
    assert str(pickle.loads(content).error) == "no memory"
