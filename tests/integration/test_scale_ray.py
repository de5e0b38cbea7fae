"""Jobs on a Ray cluster of a head that only drives and two nodes: drivers and nodes are killed, and nothing differs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from r1omni.config.annotation_run import AnnotationConfig
from r1omni.config.cluster import ClusterSection
from r1omni.config.evaluation_run import EvaluationConfig
from r1omni.config.feature_run import FeatureConfig
from r1omni.config.sections import EngineSection
from r1omni.evaluate.manifests import evaluate_manifests
from r1omni.infer.engine import Engine, build_engine
from r1omni.infer.predict_files import ASSETS
from r1omni.model.load_model import load_model
from r1omni.model.save_model import save_model
from r1omni.scale.annotation import annotate
from r1omni.scale.annotation_rows import read_shard
from r1omni.scale.feature_pass import features_here, keep_features
from r1omni.scale.ray_jobs import annotation_on_ray, evaluation_on_ray, features_on_ray
from small_model import small_model

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -c constraints.txt -e '.[cluster]'")
NUM_CLIPS = 14
ONE_OF_EACH = ClusterSection(decoders=1, tower_actors=1, model_actors=1)
# Ray leaves files open for its processes, and warns about its own settings.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_memory_monitor_refresh_ms", "0")  # what else the machine holds must not end a worker
        patch.setenv("RAY_health_check_period_ms", "500")  # a killed node is missed after seconds
        patch.setenv("RAY_worker_niceness", "0")  # on a busy machine Ray's own niceness of 15 gets next to no time
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 100_000_000})
        for _ in range(2):
            nodes.add_node(num_cpus=1, object_store_memory=100_000_000)
        ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
        yield nodes
        ray.shutdown()
        nodes.shutdown()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of which one cannot be read, and a manifest of them."""
    folder = tmp_path_factory.mktemp("archive")
    names = [("angry", "fear", "neutral")[number % 3] for number in range(NUM_CLIPS)]
    for number, name in enumerate(names):
        shutil.copy(ASSETS / "clips" / f"{name}.mp4", folder / f"{number:02d}.mp4")
    (folder / "05.mp4").write_bytes(b"no video")
    lines = [json.dumps({"id": f"{n:02d}", "path": f"{n:02d}.mp4", "label": name}) for n, name in enumerate(names)]
    (folder / "manifest.jsonl").write_text("\n".join(lines[:8]) + "\n")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    save_model(*small_model(), folder)
    return str(folder)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}


def home_of(actor: str) -> str:
    """The node on which the newest live actor of an operator is."""
    found = [entry for entry in ray._private.state.actors().values() if entry["State"] == "ALIVE"]
    return next(entry["Address"]["NodeID"] for entry in found if actor in entry["ActorClassName"])


def test_features_in_the_cache_and_scores_are_the_local_ones(cluster, archive: Path, model: str, tmp_path: Path):
    manifest = (archive / "manifest.jsonl",)

    def section(place: str) -> EngineSection:
        return EngineSection(batch_size=3, cache_dir=tmp_path / place)

    def engine_of(place: str) -> Callable[[], Engine]:
        return lambda: build_engine(*load_model(model, dtype="float32"), section(place))

    for place in ("local", "ray"):
        run = FeatureConfig(model=model, data=manifest, cluster=ONE_OF_EACH, engine=section(place))
        encode = (
            features_here(engine_of(place)()) if place == "local" else partial(features_on_ray, run, engine_of(place))
        )
        counts = keep_features(run, encode)
        assert counts == {"num_clips": 8, "num_failed": 1, "failures": {"not-media": 1}}
    local, clustered = (
        {name: content for name, content in files_of(tmp_path / place).items() if name.endswith(".safetensors")}
        for place in ("local", "ray")
    )
    assert local == clustered and len(local) == 2 * 3  # three contents, two sides

    kept = files_of(tmp_path / "ray").keys()
    results = {}
    for place in ("local", "ray"):
        run = EvaluationConfig(
            model=model, data=manifest, out=tmp_path / f"eval-{place}", labels="dfew", max_new_tokens=6, shown=0,
            cluster=ONE_OF_EACH, engine=section(place),
        )  # fmt: skip
        elsewhere = evaluation_on_ray(run, engine_of(place)) if place == "ray" else None
        results[place] = evaluate_manifests(run, engine_of(place), elsewhere=elsewhere)
    assert files_of(tmp_path / "ray").keys() == kept  # what was encoded before was found
    assert list(results["local"].values()) == list(results["ray"].values())
    for name in ("scores.json", "predictions.jsonl"):
        assert (tmp_path / "eval-local" / name).read_bytes() == (tmp_path / "eval-ray" / name).read_bytes()


def test_rows_are_the_local_ones_though_a_driver_and_a_node_are_killed(
    cluster, archive: Path, model: str, tmp_path: Path
):
    def run(out: str) -> AnnotationConfig:
        return AnnotationConfig(
            source=str(archive / "*.mp4"), out=tmp_path / out, model=model, labels=("happy", "sad"), shard_clips=4,
            max_new_tokens=6, cluster=ONE_OF_EACH, engine=EngineSection(batch_size=2),
        )  # fmt: skip

    def load() -> Engine:
        return build_engine(*load_model(model, dtype="float32"), EngineSection(batch_size=2), keeps=False)

    annotate(run("local"), load)
    command = [
        sys.executable, "-m", "r1omni.cli", "annotate", str(archive / "*.mp4"), "--out", str(tmp_path / "ray"),
        "--model", model, "--labels", "happy,sad", "--shard-clips", "4", "--max-new-tokens", "6", "--batch-size", "2",
        "--dtype", "float32", "--engine", "ray", "--cluster", "decoders=1,tower_actors=1,model_actors=1",
    ]  # fmt: skip
    driver = subprocess.Popen(command, env=os.environ | {"RAY_ADDRESS": cluster.address}, stderr=subprocess.DEVNULL)
    rows_so_far = tmp_path / "ray" / "shards" / "part-00000.progress"
    while not (rows_so_far.exists() and rows_so_far.stat().st_size):
        assert driver.poll() is None, "the driver ended by itself"
        time.sleep(0.01)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    shards = tmp_path / "ray" / "shards"
    num_kept = sum(len(path.read_bytes().splitlines()) for path in shards.iterdir())
    assert 2 <= num_kept < NUM_CLIPS

    num_done: list[int] = []

    def kill_a_node(done: int, *_: int) -> None:
        num_done.append(done)
        if len(num_done) == 1:
            home = home_of("LanguageModel")
            (node,) = [node for node in cluster.worker_nodes if node.node_id == home]
            cluster.remove_node(node, allow_graceful=False)

    summary = annotate(run("ray"), load, kill_a_node, annotation_on_ray(run("ray"), load))
    assert summary is not None and (summary["num_clips"], summary["failures"]) == (NUM_CLIPS, {"not-media": 1})
    assert num_done == list(range(num_done[0], NUM_CLIPS + 1, 2)) and num_done[0] <= num_kept + 2  # nothing twice
    assert files_of(tmp_path / "local" / "shards") == files_of(shards) and len(files_of(shards)) == 4
    ids = [row["id"] for path in sorted(shards.iterdir()) for row in read_shard(path)]
    assert ids == [f"{number:02d}.mp4" for number in range(NUM_CLIPS)]
