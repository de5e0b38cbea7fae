"""The benchmark of answering at toy size: what is timed and how the ratios are formed, not the figures themselves."""

import pytest

from answering import PHASES, Work, measure_here


@pytest.fixture(scope="module")
def results():
    return measure_here(
        Work(
            preset="tiny",
            layers=1,
            batch_sizes=(1, 8),
            new_tokens=5,
            official_clips=2,
            clip_seconds=0.3,
            clip_size=(64, 48),
            dtype="float32",
            device="cpu",
        )
    )


def test_every_phase_of_every_batch_is_timed_and_they_make_up_the_whole(results):
    assert results["batches"].keys() == {"1", "8"}
    for size, row in results["batches"].items():
        assert tuple(row["phases"]) == PHASES and all(seconds > 0 for seconds in row["phases"].values())
        assert row["seconds"] == pytest.approx(sum(row["phases"].values()))
        assert row["clips_per_s"] == pytest.approx(int(size) / row["seconds"])
        # 5 tokens for each clip, none of them an end of turn
        assert row["generated_tokens_per_s"] == pytest.approx(5 * int(size) / row["phases"]["generation"])


def test_batches_answer_as_one_clip_per_call_does(results):
    assert results["same_answers"] == {"clips": 2, "identical": 2, "first_difference": None}


def test_ratios_are_of_the_rows_they_name(results):
    one, eight = results["batches"]["1"], results["batches"]["8"]
    assert results["batch8_whole_ratio"] == pytest.approx(eight["clips_per_s"] / one["clips_per_s"])
    assert results["speedup_vs_official"] == pytest.approx(eight["clips_per_s"] / results["official"]["clips_per_s"])
    phases = one["phases"]
    assert results["second_question_seconds"] == pytest.approx(phases["prefill"] + phases["generation"])


def test_sizes_are_those_that_were_run(results):
    sizes = results["sizes"]
    assert (sizes["language_layers"], sizes["audio_layers"], sizes["new_tokens"]) == (1, 1, 5)
    assert results["dtype"] == "float32" and results["device"].startswith("cpu")
