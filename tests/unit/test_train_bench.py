"""The benchmark of the engine at toy size: figures are not asserted, their presence is."""

from r1omni.train.bench import bench_grpo


def test_bench_measures_every_way():
    results = bench_grpo(
        preset="tiny",
        tower_layers=1,
        language_layers=1,
        vocab_size=512,
        num_generations=2,
        answer_tokens=4,
        prompts=(1,),
    )
    assert results["ways"].keys() == {"plain", "encode_once", "engine", "engine_cached"}
    # The prompt is computed once instead of twice, the towers not at all: fewer operations, whatever the clock says.
    operations = {name: way["operations_per_prompt"] for name, way in results["ways"].items()}
    assert operations["engine_cached"] < operations["engine"] < operations["encode_once"] < operations["plain"]
    assert results["matmul_fraction"] > 0
