"""Features on disk: what comes back, what goes, and what other users and processes see of it."""

import multiprocessing
import os
import random
import tempfile
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from other_user import open_folder, run_as_other_user, take_write_rights
from r1omni.core.media_read import NOTHING_READ, MediaRead, SoundRead
from r1omni.infer.feature_cache import NOTHING, PATIENCE, CacheRoom, FeatureCache
from small_disk import small_files_only


def key(number: int) -> str:
    return f"{number:02d}" + "0" * 62


def entry(value: float, size: int = 1000) -> torch.Tensor:
    return torch.full((size,), float(value))


def _bytes_of_an_entry() -> int:
    with tempfile.TemporaryDirectory() as folder:
        FeatureCache(folder).put(key(0), entry(0))
        (path,) = Path(folder).glob("*/*.safetensors")
        return path.stat().st_size


ENTRY_BYTES = _bytes_of_an_entry()


def held(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.safetensors"))


def make_old(folder: Path) -> None:
    """Let all entries have been read an hour ago, the first ones first."""
    for number, path in enumerate(held(folder)):
        read_s = time.time() - 3600 + number
        os.utime(path, (read_s, read_s))


@pytest.mark.parametrize("features", [torch.randn(2, 3, 4), torch.randn(5, 6).bfloat16(), NOTHING])
def test_what_was_put_comes_back(tmp_path, features):
    cache = FeatureCache(tmp_path)
    read = MediaRead(
        sound=SoundRead(3.0, 12.4, gaps_s=((0.5, 1.25),), num_damaged_packets=2, track="sound track 2 of 2")
    )
    assert cache.put(key(1), features, read) and cache.put(key(3), features)
    found = FeatureCache(tmp_path).get(key(1))
    assert found is not None and found.features.dtype == features.dtype and torch.equal(found.features, features)
    assert found.read == read
    assert cache.get(key(2)) is None
    plain = cache.get(key(3))
    assert plain is not None and plain.read == NOTHING_READ


@pytest.mark.parametrize("said", [b"no JSON", b'{"pictures": null}', b'{"pictures": {"seen": 8}, "sound": null}'])
def test_an_entry_whose_record_cannot_be_read_is_a_miss_and_is_removed(tmp_path, said):
    cache = FeatureCache(tmp_path)
    cache.put(key(1), entry(1))
    (path,) = held(tmp_path)
    path.write_bytes(save({"features": entry(1), "read": torch.tensor(list(said), dtype=torch.uint8)}))
    assert cache.get(key(1)) is None and not path.exists()


@pytest.mark.parametrize("damage", [b"", b"half", b"\xff" * 5000])
def test_a_damaged_entry_is_a_miss_and_is_removed(tmp_path, damage):
    cache = FeatureCache(tmp_path)
    cache.put(key(1), entry(1))
    (path,) = held(tmp_path)
    path.write_bytes(damage if damage != b"half" else path.read_bytes()[:2000])
    assert cache.get(key(1)) is None and not path.exists()


def test_another_users_entries_are_read_and_left_alone():
    with open_folder() as folder:
        cache = FeatureCache(folder / "cache")
        for number in range(3):
            cache.put(key(number), entry(number))
        damaged, hidden = held(folder / "cache")[1:]
        damaged.write_bytes(b"damaged")
        take_write_rights(folder / "cache")
        hidden.chmod(0)

        def act() -> None:
            theirs = FeatureCache(folder / "cache", max_bytes=ENTRY_BYTES)  # over its bound from the beginning
            found = theirs.get(key(0))
            assert found is not None and torch.equal(found.features, entry(0))
            assert theirs.get(key(1)) is None and theirs.get(key(2)) is None and theirs.get(key(9)) is None
            assert theirs.keep([key(0), key(9)]) == 1
            for cache in (theirs, FeatureCache(folder / "cache")):
                with pytest.raises(OSError):
                    cache.put(key(9), entry(9))
            with pytest.raises(OSError):
                FeatureCache(folder / "not" / "made").put(key(9), entry(9))

        run_as_other_user(act)
        assert len(held(folder / "cache")) == 3 and damaged.exists() and hidden.exists()


def test_a_damaged_entry_of_another_user_stays():
    with open_folder() as folder:
        cache = FeatureCache(folder)
        cache.put(key(1), entry(1))
        (path,) = held(folder)
        path.write_bytes(b"damaged")
        path.parent.chmod(0o777)

        def act() -> None:
            assert FeatureCache(folder).get(key(1)) is None

        if os.getuid() == 0:  # nobody else can be had
            run_as_other_user(act)
            assert path.exists()


def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    cache = FeatureCache(tmp_path)
    with small_files_only(2000), pytest.raises(OSError):
        cache.put(key(1), entry(1))
    assert cache.get(key(1)) is None and not list(tmp_path.glob("*/*"))
    assert cache.put(key(1), entry(1)) and cache.num_bytes == ENTRY_BYTES


def test_files_and_folders_follow_the_umask(tmp_path):
    before = os.umask(0o002)
    try:
        FeatureCache(tmp_path / "cache").put(key(1), entry(1))
    finally:
        os.umask(before)
    (path,) = held(tmp_path / "cache")
    assert path.stat().st_mode & 0o777 == 0o664
    assert path.parent.stat().st_mode & 0o777 == 0o775


def test_what_nobody_reads_any_more_goes_first_and_the_oldest_before_all(tmp_path):
    earlier = FeatureCache(tmp_path)
    for number in range(4):
        earlier.put(key(number), entry(number))
    make_old(tmp_path)
    cache = FeatureCache(tmp_path, max_bytes=4 * ENTRY_BYTES)
    assert cache.get(key(0)) is not None  # so it is the youngest now
    assert cache.put(key(10), entry(10)) and cache.put(key(11), entry(11))
    assert [path.stem for path in held(tmp_path)] == [key(number) for number in (0, 3, 10, 11)]
    assert cache.num_bytes == 4 * ENTRY_BYTES


def test_an_entry_that_another_process_reads_meanwhile_stays(tmp_path):
    FeatureCache(tmp_path).put(key(0), entry(0))
    make_old(tmp_path)
    cache = FeatureCache(tmp_path, max_bytes=2 * ENTRY_BYTES)
    assert cache.put(key(1), entry(1))  # looks through the folder
    FeatureCache(tmp_path).get(key(0))
    assert not cache.put(key(2), entry(2))
    assert cache.get(key(0)) is not None


def test_entries_of_this_run_are_not_given_up_for_new_ones(tmp_path):
    cache = FeatureCache(tmp_path, max_bytes=3 * ENTRY_BYTES)
    admitted = [cache.put(key(number), entry(number)) for number in range(6)]
    assert admitted == [True] * 3 + [False] * 3
    assert [path.stem for path in held(tmp_path)] == [key(number) for number in range(3)]


def test_what_was_not_asked_for_during_many_look_ups_makes_room(tmp_path):
    cache = FeatureCache(tmp_path, max_bytes=3 * ENTRY_BYTES)
    for number in range(3):
        cache.put(key(number), entry(number))
    for _ in range(3 * PATIENCE):
        cache.get(key(2))
    assert not cache.put(key(3), entry(3))  # 48 look-ups since 0 and 1 were written, 16 for each entry
    cache.get(key(2))
    assert cache.put(key(3), entry(3))
    assert [path.stem for path in held(tmp_path)] == [key(number) for number in (1, 2, 3)]
    FeatureCache(tmp_path).get(key(1))  # another process still reads it
    assert not cache.put(key(4), entry(4)) and cache.get(key(1)) is not None


def test_a_process_that_runs_for_weeks_keeps_the_clips_of_today(tmp_path):
    cache = FeatureCache(tmp_path, max_bytes=3 * ENTRY_BYTES)
    for number in range(90):  # each clip is asked about twice, and never again
        for _ in range(2):
            if cache.get(key(number)) is None:
                cache.put(key(number), entry(number))
        assert cache.num_bytes <= 3 * ENTRY_BYTES
    kept = [int(path.stem[:2]) for path in held(tmp_path)]
    assert len(kept) == 3 and min(kept) > 30


def test_an_entry_larger_than_the_cache_costs_no_other(tmp_path):
    FeatureCache(tmp_path).put(key(0), entry(0))
    make_old(tmp_path)
    assert not FeatureCache(tmp_path, max_bytes=2 * ENTRY_BYTES).put(key(1), entry(1, size=5000))
    assert len(held(tmp_path)) == 1


def shuffled_pass(cache: FeatureCache, num_clips: int, seed: int) -> int:
    """Number of hits of one pass that puts what it misses."""
    order, hits = list(range(num_clips)), 0
    random.Random(seed).shuffle(order)
    for number in order:
        if cache.get(key(number)) is not None:
            hits += 1
        else:
            cache.put(key(number), entry(number))
    return hits


def test_shuffled_passes_over_a_set_twice_as_large_find_half(tmp_path):
    cache = FeatureCache(tmp_path, max_bytes=20 * ENTRY_BYTES)
    assert [shuffled_pass(cache, 40, seed) for seed in range(4)] == [0, 20, 20, 20]


def test_a_run_that_goes_on_finds_the_half_that_it_marks(tmp_path):
    shuffled_pass(FeatureCache(tmp_path, max_bytes=20 * ENTRY_BYTES), 40, seed=0)
    make_old(tmp_path)
    cache = FeatureCache(tmp_path, max_bytes=20 * ENTRY_BYTES)
    assert cache.keep([key(number) for number in range(40)]) == 20
    assert [shuffled_pass(cache, 40, seed) for seed in range(1, 3)] == [20, 20]


def test_a_full_cache_is_not_looked_through_at_every_write(tmp_path, monkeypatch):
    earlier = FeatureCache(tmp_path)
    for number in range(10):
        earlier.put(key(number), entry(number))
    make_old(tmp_path)
    looks = []
    for name in ("scandir", "listdir"):
        look = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *path, look=look: looks.append(path) or look(*path))
    cache = FeatureCache(tmp_path, max_bytes=10 * ENTRY_BYTES)
    cache.put(key(10), entry(10))
    first = len(looks)
    for number in range(11, 40):
        cache.put(key(number), entry(number))
    assert len(looks) == first > 0


def _write_many(folder: Path, first: int) -> None:
    cache = FeatureCache(folder, max_bytes=20 * ENTRY_BYTES)
    for number in range(first, first + 15):
        cache.put(key(number), entry(number))


def test_the_bound_holds_over_several_processes(tmp_path):
    writers = [
        multiprocessing.get_context("fork").Process(target=_write_many, args=(tmp_path, first)) for first in (0, 15, 30)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    sizes = [path.stat().st_size for path in held(tmp_path)]
    assert sum(sizes) == 20 * ENTRY_BYTES == FeatureCache(tmp_path).num_bytes


def _write_the_same(folder: Path) -> None:
    cache = FeatureCache(folder)
    for number in range(40):
        cache.put(key(number % 5), entry(number % 5))


def test_concurrent_writers_never_show_half_an_entry(tmp_path):
    writers = [multiprocessing.get_context("fork").Process(target=_write_the_same, args=(tmp_path,)) for _ in range(2)]
    cache = FeatureCache(tmp_path)
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        for number in range(5):
            found = cache.get(key(number))
            assert found is None or (found.features == number).all()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert len(list(tmp_path.glob("*/*"))) == 5  # nothing half-written is left
    assert cache.num_bytes == 5 * ENTRY_BYTES


def test_room_says_what_is_needed_and_what_to_set():
    # 8 frames x 14 x 14 patches x 768 numbers and 500 x 1280 of sound, 4 bytes each: 7,376,896 bytes;
    # 20 GiB / 7,376,896 = 2911.1 and 16,689 x 7,376,896 = 123,113,017,344 bytes = 114.7 GiB
    room = CacheRoom(16689, 0, 7376896, 20 * 2**30, 10 * 2**40)
    assert (room.num_fitting, room.needed_bytes) == (2911, 123113017344)
    said = str(room)
    for part in ("16,689 clips need 114.7 GiB", "7.4 MB", "20.0 GiB", "2,911", "13,778", "123,113,017,344"):
        assert part in said
    assert "The disk" not in said


def test_room_warns_of_a_full_disk_and_asks_for_nothing_where_all_fits():
    assert "free some space" in str(CacheRoom(100, 0, 10**6, 10**9, 99 * 10**6))
    assert "free some space" not in str(CacheRoom(100, 2, 10**6, 10**9, 99 * 10**6))
    said = str(CacheRoom(100, 2, 10**6, 10**9, None))
    assert "cache_bytes" not in said and "holds 2 of them already" in said
