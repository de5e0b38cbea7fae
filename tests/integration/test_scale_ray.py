"""Annotation on a Ray cluster of two nodes: one is killed in the middle, and the driver stops and goes on."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from r1omni.config.annotation_run import AnnotationConfig
from r1omni.config.sections import EngineSection
from r1omni.core.errors import StoppedError
from r1omni.infer.engine import Engine, build_engine
from r1omni.infer.predict_files import ASSETS
from r1omni.model.load_model import load_model
from r1omni.model.save_model import save_model
from r1omni.scale.annotation import annotate
from r1omni.scale.annotation_rows import read_shard
from r1omni.scale.ray_actors import answers_on_ray
from small_model import small_model

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -c constraints.txt -e '.[cluster]'")
NUM_CLIPS = 14


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "0")  # what else the machine holds must not end a worker
    two = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100_000_000})
    two.add_node(num_cpus=1, object_store_memory=100_000_000)
    ray.init(address=two.address, log_to_driver=False, logging_level="ERROR")
    yield two
    ray.shutdown()
    two.shutdown()


# Ray leaves files open for its processes, and warns about its own settings.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_rows_are_the_local_ones_though_the_driver_stops_and_a_node_dies(cluster, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    for number in range(NUM_CLIPS):
        name = ("angry", "fear", "neutral")[number % 3]
        shutil.copy(ASSETS / "clips" / f"{name}.mp4", archive / f"{number:02d}.mp4")
    (archive / "05.mp4").write_bytes(b"no video")
    model = tmp_path / "model"
    save_model(*small_model(), model)

    def run(out: str) -> AnnotationConfig:
        return AnnotationConfig(
            source=str(archive), out=tmp_path / out, model=str(model), labels=("happy", "sad"), shard_clips=4,
            max_new_tokens=6, actors=2, engine=EngineSection(batch_size=2),
        )  # fmt: skip

    def load() -> Engine:
        return build_engine(*load_model(str(model), dtype="float32"), EngineSection(batch_size=2), keeps=False)

    annotate(run("local"), load)
    num_done: list[int] = []

    def stop(done: int, *_: int) -> None:
        num_done.append(done)
        raise StoppedError("the driver is killed")

    with pytest.raises(StoppedError):
        annotate(run("ray"), load, stop, answers_on_ray(run("ray"), load))

    def kill_a_node(done: int, *_: int) -> None:
        num_done.append(done)
        if len(num_done) == 2:
            (worker,) = cluster.worker_nodes
            cluster.remove_node(worker, allow_graceful=False)

    summary = annotate(run("ray"), load, kill_a_node, answers_on_ray(run("ray"), load))
    assert summary is not None and (summary["num_clips"], summary["failures"]) == (NUM_CLIPS, {"not-media": 1})
    assert num_done == [2, 4, 6, 8, 10, 12, 14]  # nothing is answered twice
    local, clustered = ({path.name: path.read_bytes() for path in (tmp_path / out / "shards").iterdir()}
                        for out in ("local", "ray"))  # fmt: skip
    assert local == clustered and len(local) == 4
    ids = [row["id"] for path in sorted((tmp_path / "ray" / "shards").iterdir()) for row in read_shard(path)]
    assert ids == [f"{number:02d}.mp4" for number in range(NUM_CLIPS)]
