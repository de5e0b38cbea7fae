"""Annotation: rows in the clips' order, nothing twice and nothing lost whenever it was killed, and the same bytes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from r1omni.config.annotation_run import AnnotationConfig
from r1omni.config.sections import EngineSection
from r1omni.core.errors import ConfigError
from r1omni.infer.engine import Engine, build_engine
from r1omni.infer.predict_files import ASSETS, BUNDLED_MODEL
from r1omni.model.load_model import load_model
from r1omni.scale.annotation import annotate, begin, keep_batches, missing_batches, whole_batches
from r1omni.scale.annotation_rows import COLUMNS, read_shard
from r1omni.scale.archive import read_listing

LABELS = ("happy", "angry", "fear", "neutral")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five clips, of which one cannot be read."""
    folder = tmp_path_factory.mktemp("archive")
    for number, name in enumerate(("angry", "fear", "neutral", "angry")):
        shutil.copy(ASSETS / "clips" / f"{name}.mp4", folder / f"{number}-{name}.mp4")
    (folder / "4-broken.mp4").write_bytes(b"no video")
    return folder


@pytest.fixture(scope="module")
def load() -> Callable[[], Engine]:
    model, processor = load_model(str(BUNDLED_MODEL), dtype="float32")
    return lambda: build_engine(model, processor, EngineSection(batch_size=2), keeps=False)


def config(archive: Path, out: Path, **changes: object) -> AnnotationConfig:
    settings: dict[str, object] = {
        "source": str(archive),
        "out": out,
        "labels": LABELS,
        "shard_clips": 3,
        "max_new_tokens": 12,
        "engine": EngineSection(batch_size=2),
    }
    return AnnotationConfig.model_validate(settings | changes)


@pytest.fixture(scope="module")
def finished(archive: Path, load: Callable[[], Engine], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    annotate(config(archive, out), load)
    return out


def rows(out: Path) -> list[dict[str, object]]:
    return [row for path in sorted((out / "shards").iterdir()) for row in read_shard(path)]


def no_model() -> Engine:
    raise AssertionError("the model was loaded")


def test_every_clip_is_one_row_with_every_column_in_the_lists_order(finished: Path) -> None:
    found = rows(finished)
    assert [row["id"] for row in found] == [item.clip.id for item in read_listing(finished / "clips.jsonl")]
    assert all(list(row) == list(COLUMNS) for row in found)
    assert [len(list(read_shard(path))) for path in sorted((finished / "shards").iterdir())] == [3, 2]
    good = found[0]
    probabilities = good["probabilities"]
    assert isinstance(probabilities, dict) and set(probabilities) == set(LABELS)
    assert good["label"] == max(probabilities, key=probabilities.__getitem__)
    assert (good["modality"], good["error"]) == ("video+audio", None)


def test_a_clip_that_cannot_be_read_is_a_row_and_a_count(finished: Path) -> None:
    last = rows(finished)[-1]
    assert last["error_kind"] == "not-media" and "4-broken.mp4" in str(last["error"]) and last["answer"] is None
    summary = json.loads((finished / "annotations.json").read_text())
    assert (summary["num_clips"], summary["num_failed"], summary["failures"]) == (5, 1, {"not-media": 1})
    assert sum(summary["answers"].values()) == 4


def test_a_finished_run_loads_no_model(finished: Path, archive: Path) -> None:
    summary = annotate(config(archive, finished), no_model)
    assert summary is not None and summary["num_clips"] == 5


def test_a_run_killed_after_any_batch_and_within_a_line_ends_with_the_same_bytes(
    finished: Path, archive: Path, load: Callable[[], Engine], tmp_path: Path
) -> None:
    wanted = {path.name: path.read_bytes() for path in (finished / "shards").iterdir()}
    out = tmp_path / "out"
    job = begin(config(archive, out))
    first, second = job.mine()
    whole = [json.dumps(row, ensure_ascii=False) for row in read_shard(finished / "shards" / first.path.name)]
    # Killed in the write of the first batch: one row of two, and half of the next.
    first.progress.write_text(f"{whole[0]}\n{whole[1][:20]}")
    assert annotate(config(archive, out), load) is not None
    assert {path.name: path.read_bytes() for path in (out / "shards").iterdir()} == wanted
    # Killed after the last batch of the second shard, before it got its name.
    second.progress.write_bytes(second.path.read_bytes())
    second.path.unlink()
    assert list(missing_batches(job, second)) == []
    assert list(keep_batches(job, second, iter(()))) == []
    assert second.path.read_bytes() == wanted[second.path.name] and not second.progress.exists()


def test_only_whole_batches_are_kept(tmp_path: Path) -> None:
    progress = tmp_path / "part-00000.progress"
    assert whole_batches(progress, 4, 10) == 0
    progress.write_text("".join(f'{{"id": "{number}"}}\n' for number in range(7)) + '{"id": "7')
    assert whole_batches(progress, 4, 10) == 4
    assert progress.read_text().count("\n") == 4
    progress.write_text("".join(f'{{"id": "{number}"}}\n' for number in range(10)))
    assert whole_batches(progress, 4, 10) == 10


def test_parts_share_a_folder_and_the_last_one_counts(
    finished: Path, archive: Path, load: Callable[[], Engine], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert annotate(config(archive, out, part=(1, 2)), load) is None
    assert [path.name for path in (out / "shards").iterdir()] == ["part-00001.jsonl"]
    assert annotate(config(archive, out, part=(0, 2)), load) is not None
    assert rows(out) == rows(finished)


def test_parquet_holds_the_same_rows(finished: Path, archive: Path, load: Callable[[], Engine], tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    annotate(config(archive, tmp_path / "out", format="parquet"), load)
    assert rows(tmp_path / "out") == rows(finished)


def test_another_run_in_the_folder_is_refused_with_what_differs(finished: Path, archive: Path) -> None:
    with pytest.raises(ConfigError, match="max_new_tokens"):
        annotate(config(archive, finished, max_new_tokens=13), no_model)
