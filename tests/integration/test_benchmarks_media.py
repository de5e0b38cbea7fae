"""The benchmark of decoding at toy size."""

from media import measure_readers


def test_every_installed_reader_is_timed():
    results = measure_readers(clip_seconds=0.4, size=(64, 48), repeats=2)
    assert {"ours", "ours-heard", "full-decode"} <= results["readers"].keys()
    full = results["readers"]["full-decode"]["median_cpu_s"]
    share = results["readers"]["ours"]["median_cpu_s"] / full
    assert results["time_share"]["ours"]["full-decode"] == share
    for result in results["readers"].values():
        assert result["clips_per_s"] > 0 and result["median_s"] > 0
        assert result["peak_memory_mib"] is None or result["peak_memory_mib"] > 10
