"""Clips to features: in order, bounded, each side once, and never those of other weights or settings."""

import random
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.core.media_read import NOTHING_READ, MediaRead, PicturesRead, SoundRead
from r1omni.infer.encoder import Encoder
from r1omni.infer.feature_cache import FeatureCache
from r1omni.infer.features import Features
from r1omni.infer.fingerprint import fingerprint_towers
from r1omni.media.decode import Modality, load_media
from r1omni.media.encode import write_video
from r1omni.model.load_model import load_model
from r1omni.runs.file_hashes import FileHashes
from small_model import small_model

MODEL, PROCESSOR = small_model()


class Runs:
    """Counts the clips that pass the towers of a model."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.pictures = self.sound = 0
        model.get_submodule("vision_tower").register_forward_hook(self._saw)
        model.get_submodule("audio_tower").register_forward_hook(self._heard)

    def _saw(self, tower, inputs, output) -> None:
        self.pictures += len(inputs[0]) // 2  # two frames a clip

    def _heard(self, tower, inputs, output) -> None:
        self.sound += len(inputs[0])

    def taken(self) -> tuple[int, int]:
        """Return (pictures, sound) since the last call."""
        counts = (self.pictures, self.sound)
        self.pictures = self.sound = 0
        return counts


@pytest.fixture
def hashes(tmp_path) -> FileHashes:
    return FileHashes(tmp_path / "hashes")


@pytest.fixture
def clips(tmp_path) -> list[Clip]:
    """Both sides, pictures alone, sound alone, no film, no file."""
    rng = np.random.default_rng(0)
    tone = np.sin(np.arange(16000) / 20).astype(np.float32) / 2
    frames = [rng.integers(0, 255, (10, 32, 32, 3), dtype=np.uint8) for _ in range(2)]
    paths = [tmp_path / f"{name}.mp4" for name in ("both", "seen", "heard", "text", "missing")]
    write_video(paths[0], frames[0], 10, tone)
    write_video(paths[1], frames[1], 10, None)
    paths[2] = write_sound(tmp_path / "heard.wav", tone)
    paths[3].write_text("no film")
    return [Clip(id=path.stem, path=path) for path in paths]


def write_sound(path: Path, waveform: np.ndarray) -> Path:
    import wave

    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((waveform * 32767).astype("<i2").tobytes())
    return path


def encoder(cache: Path | None = None, hashes: FileHashes | None = None, model=MODEL, **options) -> Encoder:
    options.setdefault("num_frames", 2)
    store = None if cache is None else FeatureCache(cache, options.pop("cache_bytes", 2**30))
    return Encoder(model, options.pop("processor", PROCESSOR), cache=store, hashes=hashes, **options)


def equal(one, other) -> bool:
    """Whether two results say the same of a clip."""
    if isinstance(one, MediaError) or isinstance(other, MediaError):
        return isinstance(one, MediaError) and isinstance(other, MediaError) and str(one) == str(other)
    pairs = ((one.video, other.video), (one.audio, other.audio))
    return all(a is b is None or (a is not None and b is not None and torch.equal(a, b)) for a, b in pairs)


def alike(one, other) -> bool:
    """Whether two results say the same of a clip, as far as towers do whose batches were not the same."""
    if isinstance(one, MediaError) or isinstance(other, MediaError):
        return equal(one, other)
    pairs = ((one.video, other.video), (one.audio, other.audio))
    return all(
        a is b is None or (a is not None and b is not None and torch.allclose(a, b, atol=1e-5)) for a, b in pairs
    )


def test_features_are_what_the_towers_give_and_errors_stay_with_their_clip(clips):
    found = list(encoder().stream(clips))
    for clip, features in zip(clips[:2], found, strict=False):
        inputs = PROCESSOR.process_media(load_media(clip.path, num_frames=2))
        assert isinstance(features, Features)
        torch.testing.assert_close(features.video, MODEL.encode_video(inputs["pixel_values"][None])[0])
        if "input_features" in inputs:
            torch.testing.assert_close(features.audio, MODEL.encode_audio(inputs["input_features"][None])[0])
    assert found[0].audio is not None and found[1].audio is None and found[2].video is None
    assert [found[3].kind, found[4].kind] == ["not-media", "missing"]


def test_the_towers_run_once_in_the_life_of_a_cache(tmp_path, hashes, clips):
    model, _ = small_model()
    runs = Runs(model)
    first = encoder(tmp_path / "cache", hashes, model).features(clips)
    assert runs.taken() == (2, 2)
    again = list(encoder(tmp_path / "cache", hashes, model).stream(clips))
    assert runs.taken() == (0, 0) and all(map(equal, first, again))


def test_what_was_read_comes_with_the_features_from_the_towers_and_from_the_cache(tmp_path, hashes, clips):
    long = write_sound(tmp_path / "long.wav", np.sin(np.arange(40000) / 20).astype(np.float32) / 2)
    silent = write_sound(tmp_path / "silent.wav", np.zeros(8000, np.float32))
    asked = [*clips[:3], Clip("long", long), Clip("part", long, start_s=1.0, stop_s=2.25), Clip("silent", silent)]
    pictures, sound = PicturesRead(2, 1.0), SoundRead(1.0, 1.0)  # 10 frames at 10 per second; the model hears 1 s
    expected = [
        MediaRead(pictures, sound),
        MediaRead(pictures),
        MediaRead(sound=sound),
        MediaRead(sound=SoundRead(1.0, 2.5)),
        MediaRead(sound=SoundRead(1.0, 1.25)),
        MediaRead(sound=SoundRead(0.5, 0.5, is_silent=True)),
    ]
    for _ in ("towers", "cache"):
        found = list(encoder(tmp_path / "cache", hashes).stream(asked))
        assert [entry.read for entry in found if isinstance(entry, Features)] == expected
    assert list(encoder(tmp_path / "cache", hashes, modality="video").stream(clips[:1]))[0].read == MediaRead(pictures)
    both = found[0]
    assert both.without("sound").read == MediaRead(pictures) and both.without("pictures").read == MediaRead(sound=sound)


@pytest.mark.parametrize("first", ["auto", "video+audio", "video", "audio"])
@pytest.mark.parametrize("then", ["auto", "video+audio", "video", "audio"])
def test_each_side_is_made_once_whatever_is_asked_for(tmp_path, hashes, clips, first: Modality, then: Modality):
    model, _ = small_model()
    runs = Runs(model)
    list(encoder(tmp_path / "cache", hashes, model, modality=first).stream(clips))
    runs.taken()
    found = list(encoder(tmp_path / "cache", hashes, model, modality=then).stream(clips))
    has = {"auto": {"both": "ps", "seen": "p", "heard": "s"}, "video+audio": {"both": "ps"}}
    has |= {"video": {"both": "p", "seen": "p"}, "audio": {"both": "s", "heard": "s"}}
    new = {(clip, side) for clip, sides in has[then].items() for side in sides}
    new -= {(clip, side) for clip, sides in has[first].items() for side in sides}
    assert runs.taken() == (sum(side == "p" for _, side in new), sum(side == "s" for _, side in new))
    assert all(map(alike, found, encoder(modality=then).stream(clips)))


class Unread(FileHashes):
    """Goes by names, so that a test can take a file's content away behind the cache's back."""

    def sha256(self, path: Path) -> str:
        return path.name


@pytest.mark.parametrize("modality", ["auto", "video", "audio"])
def test_a_hit_decodes_nothing_even_of_a_clip_that_lacks_a_side(tmp_path, clips, modality: Modality):
    whole = [clip for clip in clips[:3] if modality == "auto" or clip.id in ("both", {"video": "seen"}.get(modality))]
    first = list(encoder(tmp_path / "cache", Unread(None), modality=modality).stream(whole))
    for clip in whole:
        clip.path.write_text("gone")
    assert all(map(equal, first, encoder(tmp_path / "cache", Unread(None), modality=modality).stream(whole)))
    assert not any(isinstance(features, MediaError) for features in first)


def test_a_side_that_is_missing_is_decoded_alone(tmp_path, hashes, clips):
    asked = []

    class Watched(Encoder):
        def load_inputs(self, clip: Clip, modality: Modality) -> tuple[Mapping[str, torch.Tensor], MediaRead]:
            asked.append((clip.id, modality))
            return super().load_inputs(clip, modality)

    for modality in ("video", "auto"):
        cache = FeatureCache(tmp_path / "cache")
        list(Watched(MODEL, PROCESSOR, cache=cache, num_frames=2, modality=modality, hashes=hashes).stream(clips[:3]))
    assert sorted(asked) == sorted(
        [(clip.id, "video") for clip in clips[:3]] + [("both", "audio"), ("seen", "audio"), ("heard", "auto")]
    )


def folder_of_pictures(folder: Path, rate_fps: float) -> Clip:
    folder.mkdir(exist_ok=True)
    for number in range(20):
        Image.new("RGB", (32, 32), (12 * number, 0, 255 - 12 * number)).save(folder / f"{number}.png")
    return Clip("folder", folder, 0.2, 0.6, meta={"frame_rate_fps": rate_fps})


def test_a_folders_frame_rate_sound_and_pictures_are_told_apart(tmp_path, hashes):
    def look(rate_fps: float) -> Features:
        (found,) = encoder(tmp_path / "cache", hashes).stream([folder_of_pictures(tmp_path / "clip", rate_fps)])
        assert isinstance(found, Features)
        return found

    slow, fast = look(5), look(25)  # pictures 1 to 2, and 5 to 14
    assert not torch.equal(slow.video, fast.video) and equal(look(5), slow) and slow.audio is None
    write_sound(tmp_path / "clip.wav", np.sin(np.arange(16000) / 9).astype(np.float32))
    assert look(5).audio is not None and torch.equal(look(5).video, slow.video)


def test_a_folder_whose_sound_ends_before_the_part_is_read_alike_from_the_cache(tmp_path, hashes):
    clip = folder_of_pictures(tmp_path / "clip", 25)
    write_sound(tmp_path / "clip.wav", np.zeros(800, np.float32))  # 0.05 s, the part begins at 0.2
    fresh = encoder().features([clip])[0]
    list(encoder(tmp_path / "cache", hashes, modality="video").stream([clip]))
    (kept,) = encoder(tmp_path / "cache", hashes).stream([clip])
    assert isinstance(fresh, Features) and fresh.audio is None and alike(fresh, kept)


def names(hashes, clip: Clip, change: Callable[[Encoder], None] = lambda _: None, **options) -> dict[str, str]:
    model, processor = small_model()
    made = encoder(None, hashes, model, processor=processor, **options)
    change(made)
    return made.names().of(clip)


def set_on(part: str, name: str, value) -> Callable[[Encoder], None]:
    def change(made: Encoder) -> None:
        owner = made
        for step in filter(None, part.split(".")):
            owner = getattr(owner, step)
        setattr(owner, name, value)

    return change


def write_to(tower: str) -> Callable[[Encoder], None]:
    def change(made: Encoder) -> None:
        weight = next(getattr(made.model, tower).parameters())
        weight.data.view(-1)[-1] += 1

    return change


@pytest.mark.parametrize(
    ("change", "sides"),
    [
        (set_on("", "num_frames", 4), {"pictures"}),
        (set_on("processor", "aspect", "stretch"), {"pictures"}),
        (set_on("processor.image_processor", "image_mean", [0.4, 0.5, 0.5]), {"pictures"}),
        (set_on("processor.image_processor", "resample", 2), {"pictures"}),
        (set_on("model.config.vision_config", "num_attention_heads", 2), {"pictures"}),
        (write_to("vision_tower"), {"pictures"}),
        (set_on("processor.feature_extractor", "n_samples", 8000), {"sound"}),
        (set_on("processor.feature_extractor", "hop_length", 80), {"sound"}),
        (set_on("processor", "invents_silence", True), {"sound"}),
        (set_on("model.config", "audio_pool", 5), {"sound"}),
        (write_to("audio_tower"), {"sound"}),
        (set_on("", "dtype", torch.bfloat16), {"pictures", "sound"}),
        (set_on("", "dtype", torch.float32), set()),
        (set_on("", "batch_size", 1), set()),
        (set_on("", "num_workers", 7), set()),
        (set_on("", "modality", "video"), set()),
        (lambda made: made.model.language_model.bfloat16(), set()),
        (write_to("language_model"), set()),
    ],
)
def test_a_name_holds_all_that_shapes_a_feature_and_nothing_else(hashes, clips, change, sides):
    before, after = names(hashes, clips[0]), names(hashes, clips[0], change)
    assert {side for side in before if before[side] != after[side]} == sides


def test_a_name_holds_the_part_and_the_content(hashes, clips):
    from dataclasses import replace

    whole = names(hashes, clips[0])
    for other in (replace(clips[0], start_s=0.1), replace(clips[0], stop_s=0.5), replace(clips[0], path=clips[1].path)):
        assert all(whole[side] != name for side, name in names(hashes, other).items())
    assert whole == names(hashes, replace(clips[0], id="other", label="happy", meta={"actor": 1}))


def test_names_are_the_same_after_saving_and_loading(tmp_path, hashes, clips):
    model, processor = small_model()
    made = encoder(None, hashes, model, processor=processor).names().of(clips[0])
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    loaded = load_model(tmp_path / "model", dtype=torch.float32)
    assert encoder(None, hashes, loaded[0], processor=loaded[1]).names().of(clips[0]) == made


class Settled(FileHashes):
    """Counts what is computed, and takes files written a moment ago for old ones."""

    computed = 0

    def derived(self, name, sources, compute):
        from dataclasses import replace

        def counted() -> str:
            self.computed += 1
            return compute()

        return super().derived(name, [replace(stamp, seen_ns=stamp.seen_ns + 10**11) for stamp in sources], counted)


def test_fingerprints_are_remembered_with_the_weights_file_and_never_of_changed_weights(tmp_path):
    model, processor = small_model()
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    hashes = Settled(tmp_path / "hashes")
    model, _ = load_model(tmp_path / "model", dtype=torch.float32)
    assert [Path(stamp.path).name for stamp in model.weights_files] == ["model.safetensors"]
    first = fingerprint_towers(model, hashes)
    assert hashes.computed == 2 and first["pictures"] != first["sound"]
    again, _ = load_model(tmp_path / "model", dtype=torch.float32)
    assert fingerprint_towers(again, Settled(tmp_path / "hashes")) == first
    assert fingerprint_towers(again, hashes) == first and hashes.computed == 2
    made, _ = small_model()
    assert fingerprint_towers(made, hashes) == first and hashes.computed == 4  # from memory, as no file is known
    next(again.vision_tower.parameters()).data.view(-1)[0] += 1e-6
    changed = fingerprint_towers(again, hashes)
    assert changed["pictures"] != first["pictures"] and changed["sound"] == first["sound"]
    half, _ = load_model(tmp_path / "model", dtype=torch.bfloat16)
    assert set(fingerprint_towers(half, hashes).values()).isdisjoint(first.values())


def test_weights_that_change_in_use_give_features_of_their_own(tmp_path, hashes, clips):
    model, _ = small_model()
    kept = encoder(tmp_path / "cache", hashes, model)
    before = kept.features(clips[:1])[0]
    with torch.no_grad():
        for weight in model.vision_tower.parameters():
            weight.mul_(1.5)
    after = kept.features(clips[:1])[0]
    assert not torch.equal(before.video, after.video) and torch.equal(before.audio, after.audio)


def test_features_are_kept_in_the_models_own_half_precision(tmp_path, hashes, clips):
    model, _ = small_model()
    (full,) = encoder(tmp_path / "cache", hashes, model).stream(clips[:1])
    (asked,) = encoder(tmp_path / "cache", hashes, model, dtype=torch.bfloat16).stream(clips[:1])
    (again,) = encoder(tmp_path / "cache", hashes, model, dtype=torch.bfloat16).stream(clips[:1])
    assert torch.equal(asked.video, full.video.bfloat16()) and equal(asked, again)
    (half,) = encoder(tmp_path / "cache", hashes, model.bfloat16()).stream(clips[:1])
    assert full.video.dtype == torch.float32 and half.video.dtype == half.audio.dtype == torch.bfloat16
    assert half.num_bytes == asked.num_bytes == full.num_bytes / 2


class MadeUpInputs(Encoder):
    """Decodes nothing: a clip's inputs are made from its number."""

    def load_inputs(self, clip: Clip, modality: Modality) -> tuple[Mapping[str, torch.Tensor], MediaRead]:
        if clip.id.startswith("x"):
            raise MediaError("truncated", f"{clip.id} is cut.")
        return {"pixel_values": torch.full((2, 3, 32, 32), float(clip.id))}, NOTHING_READ


def numbered(count: int) -> Iterator[Clip]:
    return (Clip(str(number), Path(f"{number}.mp4")) for number in range(count))


@pytest.mark.parametrize("count", [100, 1_000])
def test_a_stream_holds_no_more_than_a_batch_however_long_it_is(count):
    made = MadeUpInputs(MODEL, PROCESSOR, batch_size=32, num_frames=2)
    taken = delivered = most = 0

    def counted() -> Iterator[Clip]:
        nonlocal taken
        for clip in numbered(count):
            taken += 1
            yield clip

    for features in made.stream(counted()):
        most = max(most, taken - delivered)
        delivered += 1
        assert isinstance(features, Features)
    assert delivered == count and most <= made.window == 32


def test_a_stream_keeps_the_clips_order_and_their_errors():
    made = MadeUpInputs(MODEL, PROCESSOR, batch_size=4, num_workers=3, num_frames=2)
    order = [Clip(f"x{number}" if number % 7 == 0 else str(number), Path("a")) for number in range(1, 40)]
    for clip, features in zip(order, made.stream(order), strict=True):
        if clip.id.startswith("x"):
            assert isinstance(features, MediaError) and str(features) == f"{clip.id} is cut."
        else:
            expected = MODEL.encode_video(torch.full((1, 2, 3, 32, 32), float(clip.id)))[0]
            torch.testing.assert_close(features.video, expected)


def test_decoding_towers_and_consumer_overlap():
    """While the consumer sits on the first clip, the next batch passes the towers and the one after it is decoded."""
    model, _ = small_model()
    decoded, encoded = threading.Semaphore(0), threading.Semaphore(0)

    class Watched(MadeUpInputs):
        def load_inputs(self, clip: Clip, modality: Modality) -> tuple[Mapping[str, torch.Tensor], MediaRead]:
            inputs = super().load_inputs(clip, modality)
            decoded.release()
            return inputs

    model.vision_tower.register_forward_hook(lambda *_: encoded.release())
    stream = Watched(model, PROCESSOR, batch_size=4, num_frames=2).stream(numbered(100))
    next(stream)  # the batch of the towers is half as large: clips 0, 1
    next(stream)
    next(stream)  # of clips 2, 3; the window of 4 holds 3, 4, 5, 6
    assert all(encoded.acquire(timeout=60) for _ in range(3)), "clips 4, 5 pass the towers unasked"
    assert all(decoded.acquire(timeout=60) for _ in range(6)), "clips up to 5 at least are decoded unasked"
    stream.close()


def test_a_consumer_that_stops_early_leaves_no_thread():
    before = set(threading.enumerate())
    stream = MadeUpInputs(MODEL, PROCESSOR, batch_size=4, num_frames=2).stream(numbered(10**9))
    next(stream)
    assert set(threading.enumerate()) - before
    stream.close()
    assert not set(threading.enumerate()) - before


def test_an_error_in_a_tower_reaches_the_consumer_after_what_was_ready():
    model, _ = small_model()
    passes = []

    def fail_later(*_) -> None:
        passes.append(1)
        if len(passes) == 3:
            raise RuntimeError("out of memory")

    model.vision_tower.register_forward_pre_hook(fail_later)
    before = set(threading.enumerate())
    found = []
    with pytest.raises(RuntimeError, match="out of memory"):
        for features in MadeUpInputs(model, PROCESSOR, batch_size=4, num_frames=2).stream(numbered(100)):
            found.append(features)
    assert len(found) == 4 and not set(threading.enumerate()) - before


def test_an_error_where_clips_come_from_reaches_the_consumer():
    def broken() -> Iterator[Clip]:
        yield from numbered(3)
        raise KeyError("manifest")

    with pytest.raises(KeyError, match="manifest"):
        list(MadeUpInputs(MODEL, PROCESSOR, num_frames=2).stream(broken()))


def test_a_fault_of_the_program_while_decoding_is_raised_not_recorded():
    with pytest.raises(ValueError, match="could not convert"):
        list(MadeUpInputs(MODEL, PROCESSOR, num_frames=2).stream([Clip("no number", Path("a"))]))


def test_no_clips_give_nothing():
    assert list(encoder().stream([])) == [] == encoder().features([])


def test_memory_keeps_what_was_read_last_within_its_bound(clips):
    model, _ = small_model()
    runs = Runs(model)
    one, other = clips[0], clips[1]
    size = encoder(modality="video").features([one])[0].num_bytes
    small = encoder(None, None, model, modality="video", memory_bytes=size)
    assert equal(small.features([one, one])[0], small.features([one])[0]) and runs.taken() == (1, 0)
    small.features([other])
    small.features([one])
    assert runs.taken() == (2, 0)
    none = encoder(None, None, model, modality="video", memory_bytes=size - 1)
    none.features([one])
    none.features([one])
    assert runs.taken() == (2, 0)
    list(small.stream([one]))
    assert runs.taken() == (1, 0)  # a stream neither keeps nor recalls


def many_clips(folder: Path, count: int) -> list[Clip]:
    rng = np.random.default_rng(2)
    for number in range(count):
        (folder / f"c{number}").mkdir()
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / f"c{number}" / "0.png")
    return [Clip(str(number), folder / f"c{number}") for number in range(count)]


def bytes_of_an_entry(tmp_path: Path, model, clip: Clip) -> int:
    """Size of a clip's pictures in the cache; the same for each of `many_clips`."""
    list(encoder(tmp_path / "one", FileHashes(None), model, modality="video").stream([clip]))
    num_bytes = FeatureCache(tmp_path / "one").num_bytes
    assert num_bytes > 2 * 4 * 16 * 4  # frames, patches, numbers, bytes
    return num_bytes


def test_training_over_a_set_twice_as_large_as_the_cache_runs_towers_for_the_other_half_only(tmp_path, hashes):
    model, _ = small_model()
    clips = many_clips(tmp_path, 12)
    cache_bytes = 6 * bytes_of_an_entry(tmp_path, model, clips[0])
    runs = Runs(model)
    made = encoder(tmp_path / "cache", hashes, model, modality="video", memory_bytes=1, cache_bytes=cache_bytes)
    list(made.stream(clips))
    assert runs.taken() == (12, 0)
    for seed in range(4):
        order = random.Random(seed).sample(clips, 12)
        results = made.features(order) if seed % 2 else list(made.stream(order))
        assert runs.taken() == (6, 0) and all(isinstance(features, Features) for features in results)


def test_a_run_that_goes_on_marks_its_clips_and_keeps_hitting_them(tmp_path):
    model, _ = small_model()
    clips, names = many_clips(tmp_path, 12), Known(None)
    options = dict(modality="video", cache_bytes=6 * bytes_of_an_entry(tmp_path, model, clips[0]))
    runs = Runs(model)
    list(encoder(tmp_path / "cache", names, model, **options).stream(clips))
    runs.taken()
    later = encoder(tmp_path / "cache", names, model, **options)
    room = later.room_needed(clips)
    assert room is not None
    assert (room.num_clips, room.num_cached, room.bytes_per_clip, room.needed_bytes) == (12, 6, 512, 6144)
    for seed in range(2):
        list(later.stream(random.Random(seed).sample(clips, 12)))
        assert runs.taken() == (6, 0)


class Known(FileHashes):
    """Knows every file's content by its folder's name."""

    def sha256(self, path: Path) -> str:
        return path.parent.name

    def remembered(self, path: Path) -> str:
        return path.parent.name


def test_room_of_what_is_read_in_its_number_format(tmp_path):
    # pictures 2 frames x 4 patches x 16 = 128 numbers, sound 8 tokens x 16 = 128
    for modality, numbers in {"auto": 256, "video+audio": 256, "video": 128, "audio": 128}.items():
        assert encoder(modality=modality).bytes_per_clip() == 4 * numbers
        assert encoder(modality=modality, dtype=torch.bfloat16).bytes_per_clip() == 2 * numbers
    assert encoder().room_needed([]) is None
    (found,) = encoder().features([Clip("a", Path("/none.mp4"))])
    assert isinstance(found, MediaError)


def test_room_reads_no_file_that_was_never_hashed(tmp_path, hashes, clips):
    room = encoder(tmp_path / "cache", hashes).room_needed(clips)
    assert room is not None and room.num_cached == 0 and room.num_clips == 5
    assert all(hashes.remembered(clip.path) is None for clip in clips[:4])


def test_a_cache_that_cannot_be_written_costs_time_and_not_the_run(tmp_path, hashes, clips):
    (tmp_path / "file").write_text("no folder")
    made = encoder(tmp_path / "file" / "cache", hashes)
    with pytest.warns(RuntimeWarning, match="computed again"):
        assert equal(made.features(clips[:1])[0], encoder().features(clips[:1])[0])


def test_silence_is_invented_and_kept_where_the_processor_asks_for_it(tmp_path, hashes, clips):
    official = PROCESSOR.like_official()
    silent = encoder(processor=official).features(clips[1:2])[0]
    assert silent.audio is not None
    for modality in ("auto", "video"):
        options = dict(processor=official, modality=modality)
        fresh = list(encoder(None, hashes, **options).stream(clips[:2]))
        for _ in range(2):
            kept = list(encoder(tmp_path / "cache", hashes, **options).stream(clips[:2]))
            assert all(map(equal, kept, fresh))
    assert encoder(None, hashes, modality="video").features(clips[:1])[0].audio is None
