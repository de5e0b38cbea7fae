"""A running server on the bundled model, driven by OpenAI's own client and by curl."""

import base64
import json
import re
import shutil
import subprocess
import sys
import urllib.request
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
from openai import OpenAI

from live_server import LiveServer, live_server
from r1omni.config.load import load_run
from r1omni.config.serving import ServeConfig
from r1omni.core.clip import Clip
from r1omni.core.evidence import EVIDENCE_NAMES, Evidence
from r1omni.core.instruction import REASONING_INSTRUCTION, parse_answer
from r1omni.infer.predict_files import ASSETS, load_engine
from r1omni.infer.prompt import Prompt

CLIPS = ASSETS / "clips"
MODEL = "drawn-people"
NEEDS_CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with live_server() as running:
        yield running


def data_url(content: bytes, kind: str = "video/mp4") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def video(name: str) -> dict:
    return {"type": "video_url", "video_url": {"url": data_url((CLIPS / f"{name}.mp4").read_bytes())}}


def about(part: dict, *more: dict) -> list:
    return [{"role": "user", "content": [part, *more]}]


def test_an_answer_is_what_predict_says(client: OpenAI, expected):
    for name, prediction in expected.items():
        answer = client.chat.completions.create(model=MODEL, messages=about(video(name)))
        (choice,) = answer.choices
        assert choice.message.content == prediction.answer
        assert choice.message.reasoning == choice.message.reasoning_content == prediction.reasoning
        assert choice.finish_reason == "stop"
        assert answer.clip == {**prediction.read.to_json(), "remarks": prediction.read.remarks()}
        assert answer.clip["modality"] == ("video" if name == "silent-film" else "video+audio")
        usage = answer.usage
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
        assert usage.completion_tokens > 10 and usage.prompt_tokens > 100


def test_a_streamed_answer_is_the_same_piece_by_piece(client: OpenAI, expected):
    stream = client.chat.completions.create(
        model=MODEL,
        messages=about(video("fear"), {"type": "text", "text": REASONING_INSTRUCTION}),
        stream=True,
        stream_options={"include_usage": True},
        logprobs=True,
    )
    texts = {"content": "", "reasoning": "", "reasoning_content": ""}
    tokens, reasons, usages, roles = b"", [], [], []
    num_chunks = 0
    for chunk in stream:
        num_chunks += 1
        usages += [chunk.usage] if chunk.usage else []
        for choice in chunk.choices:
            roles += [choice.delta.role] if choice.delta.role else []
            reasons += [choice.finish_reason] if choice.finish_reason else []
            for name in texts:
                texts[name] += getattr(choice.delta, name, None) or ""
            for token in choice.logprobs.content if choice.logprobs else ():
                tokens += bytes(token.bytes)
    prediction = expected["fear"]
    assert texts == {
        "content": prediction.answer,
        "reasoning": prediction.reasoning,
        "reasoning_content": prediction.reasoning,
    }
    assert tokens.decode() == prediction.text + "<|im_end|>"
    assert reasons == ["stop"] and roles == ["assistant"]
    assert len(usages) == 1 and num_chunks > usages[0].completion_tokens


def test_log_probabilities_are_the_scorer_s(client: OpenAI, expected):
    answer = client.chat.completions.create(model=MODEL, messages=about(video("angry")), logprobs=True)
    engine = load_engine(dtype="float32")
    (features,) = engine.encoder.features([Clip(id="angry", path=CLIPS / "angry.mp4")])
    ids = engine.processor.text_ids(expected["angry"].text)
    scored = engine.scorer.score([Prompt.ask(REASONING_INSTRUCTION, features)], [[ids]])[0][0]
    said = [token.logprob for token in answer.choices[0].logprobs.content]
    assert said[: len(scored)] == pytest.approx(scored, abs=2e-3)


def test_sampled_answers_follow_the_seed(client: OpenAI):
    def ask(seed: int) -> list[str]:
        answer = client.chat.completions.create(
            model=MODEL, messages=about(video("neutral")), n=3, temperature=1.5, seed=seed, max_tokens=20
        )
        assert [choice.index for choice in answer.choices] == [0, 1, 2]
        return [choice.message.reasoning or "" for choice in answer.choices]

    first = ask(1)
    assert ask(1) == first and ask(2) != first and len(set(first)) > 1


def test_a_limit_of_tokens_and_a_stop_string_end_an_answer(client: OpenAI):
    short = client.chat.completions.create(model=MODEL, messages=about(video("fear")), max_tokens=5)
    assert short.choices[0].finish_reason == "length" and short.usage.completion_tokens == 5
    stopped = client.chat.completions.create(model=MODEL, messages=about(video("fear")), stop=["the audio"])
    assert stopped.choices[0].finish_reason == "stop"
    reasons = stopped.choices[0].message.reasoning
    assert reasons.startswith("In the video") and "the audio" not in reasons


def test_system_and_earlier_turns_are_read(client: OpenAI):
    turns = [
        {"role": "system", "content": "Answer in one word."},
        *about(video("angry")),
        {"role": "assistant", "content": "angry"},
        {"role": "user", "content": "Which emotion is it?"},
    ]
    whole = client.chat.completions.create(model=MODEL, messages=turns)
    last = client.chat.completions.create(model=MODEL, messages=[*about(video("angry"), {"type": "text", "text": "?"})])
    assert whole.usage.prompt_tokens > last.usage.prompt_tokens
    text = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hello"}], max_tokens=4)
    assert text.clip["modality"] is None


def test_an_uploaded_file_answers_several_questions_and_a_side_can_be_left_out(client: OpenAI, expected):
    uploaded = client.files.create(file=("a.mp4", (CLIPS / "angry.mp4").read_bytes()), purpose="user_data")
    assert client.files.retrieve(uploaded.id).bytes == (CLIPS / "angry.mp4").stat().st_size
    part = {"type": "file", "file": {"file_id": uploaded.id}}
    read = {}
    for modality in ("auto", "video", "audio"):
        answer = client.chat.completions.create(
            model=MODEL, messages=about(part), extra_body={"modality": modality}, max_tokens=64
        )
        read[modality] = answer.clip["modality"], answer.choices[0].message.content
    assert read["auto"] == ("video+audio", expected["angry"].answer)
    assert (read["video"][0], read["audio"][0]) == ("video", "audio")
    assert client.files.delete(uploaded.id).deleted
    with pytest.raises(openai.NotFoundError, match="There is no file"):
        client.chat.completions.create(model=MODEL, messages=about(part))


def test_features_are_kept_with_an_upload_alone_and_serve_its_second_question(server: LiveServer, client: OpenAI):
    def figures() -> tuple[float, float]:
        text = fetch(f"{server.url}/metrics")
        names = ("decoded_clips", "feature_bytes")
        decoded, kept = (float(re.findall(rf"^r1omni_{name} (\S+)$", text, re.MULTILINE)[0]) for name in names)
        return decoded, kept

    def ask(part: dict) -> None:
        client.chat.completions.create(model=MODEL, messages=about(part), max_tokens=1)

    before = figures()
    assert before[1] == 0
    ask(video("angry"))
    ask(video("angry"))
    assert figures() == (before[0] + 2, 0)  # nothing of a clip inside a request is kept
    uploaded = client.files.create(file=("a.mp4", (CLIPS / "angry.mp4").read_bytes()), purpose="user_data")
    part = {"type": "file", "file": {"file_id": uploaded.id}}
    ask(part)
    ask(part)
    decoded, kept = figures()
    assert decoded == before[0] + 3 and kept > 0
    client.files.delete(uploaded.id)
    assert figures()[1] == 0


def test_sound_and_a_still_image_come_in_parts_of_their_own(client: OpenAI, tmp_path: Path):
    from PIL import Image

    with wave.open(str(tmp_path / "tone.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(range(256)) * 200)
    Image.new("RGB", (64, 48), "red").save(tmp_path / "red.png")
    sound = base64.b64encode((tmp_path / "tone.wav").read_bytes()).decode()
    heard = {"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}}
    seen = {"type": "image_url", "image_url": {"url": data_url((tmp_path / "red.png").read_bytes(), "image/png")}}
    for parts, modality in (((heard,), "audio"), ((seen,), "video"), ((seen, heard), "video+audio")):
        answer = client.chat.completions.create(model=MODEL, messages=about(*parts), max_tokens=4)
        assert answer.clip["modality"] == modality
    with pytest.raises(openai.BadRequestError, match="about one clip"):
        client.chat.completions.create(model=MODEL, messages=about(seen, seen))


def test_probabilities_of_labels_of_one_s_own(client: OpenAI, expected):
    body = {"model": MODEL, "input": [video("fear")], "labels": ["fear", "joy", "neutral"]}
    found = client.post("/predictions", body=body, cast_to=dict)
    assert list(found["probabilities"]) == ["fear", "joy", "neutral"]
    assert sum(found["probabilities"].values()) == pytest.approx(1)
    assert (found["answer"], found["text"]) == (expected["fear"].answer, expected["fear"].text)
    known = client.post("/predictions", body={"model": MODEL, "input": [video("fear")]}, cast_to=dict)
    assert known["implied"] == expected["fear"].fit.implied.label
    assert known["reasons_agree"] == expected["fear"].fit.agrees
    assert known["probabilities"] == pytest.approx(expected["fear"].probabilities, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "other"}, "no model 'other'"),
        ({"messages": []}, "messages"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"top_p": 0.5}, "top_p"),
        ({"n": 1000}, "n is 1000"),
        ({"max_tokens": 10_000}, "max_tokens is 10000"),
        ({"stop": ["a"] * 5}, "up to 4 strings"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "last message"),
        ({"messages": about({"type": "video_url", "video_url": {"url": "file:///etc/passwd"}})}, "not a data URL"),
        ({"messages": about({"type": "video_url", "video_url": {"url": "/etc/passwd"}})}, "not a data URL"),
        ({"messages": about({"type": "video_url", "video_url": {"url": "http://169.254.169.254/"}})}, "host"),
        ({"messages": about({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,%%%"}})}, "base64"),
        ({"messages": about({"type": "video_url", "video_url": {"url": data_url(b"text")}})}, "is not a video"),
    ],
    ids=["model", "empty", "tools", "top_p", "n", "tokens", "stop", "last", "file", "path", "host", "base64", "media"],
)
def test_what_cannot_be_honoured_is_refused_in_a_sentence(client: OpenAI, change: dict, message: str):
    request = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], **change}
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)) as refused:
        client.chat.completions.create(**request)
    assert message in refused.value.message
    assert refused.value.body["type"] == "invalid_request_error" and refused.value.body["code"]


def test_models_health_and_figures_are_shown(client: OpenAI):
    (model,) = client.models.list().data
    assert model.id == MODEL and "drawn people" in model.note
    assert client.models.retrieve(MODEL).id == MODEL
    base = str(client.base_url).removesuffix("v1/")
    assert json.loads(fetch(f"{base}readyz"))["status"] == "ok"
    assert json.loads(fetch(f"{base}healthz"))["restarts"] == 0
    client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hello"}], max_tokens=2)
    figures = fetch(f"{base}metrics")
    assert 'r1omni_requests_total{route="/v1/chat/completions",status="200"}' in figures
    assert "r1omni_answer_tokens_total" in figures and "process_resident_memory_bytes" in figures


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


def curl(*arguments: str) -> str:
    run = subprocess.run(["curl", "--silent", "--show-error", "--max-time", "60", *arguments], capture_output=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.decode()


@NEEDS_CURL
def test_curl_uploads_asks_and_reads_a_stream(server: LiveServer, expected):
    uploaded = json.loads(
        curl(f"{server.url}/v1/files", "-F", f"file=@{CLIPS / 'neutral.mp4'}", "-F", "purpose=user_data")
    )
    body = {
        "model": MODEL,
        "stream": True,
        "messages": about({"type": "file", "file": {"file_id": uploaded["id"]}}),
    }
    header = "Content-Type: application/json"
    text = curl("-N", f"{server.url}/v1/chat/completions", "-H", header, "-d", json.dumps(body))
    events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    said = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    assert said == expected["neutral"].answer
    assert chunks[-1]["clip"]["modality"] == "video+audio"


def test_answers_are_the_same_beside_others(client: OpenAI, expected):
    def ask(number: int) -> tuple[str, str, str]:
        name = ("angry", "fear", "neutral")[number % 3]
        if number % 2:
            client.chat.completions.create(
                model=MODEL, messages=about(video(name)), n=2, temperature=1.0, seed=number, max_tokens=30
            )
        answer = client.chat.completions.create(model=MODEL, messages=about(video(name)))
        return name, answer.choices[0].message.content, answer.choices[0].message.reasoning

    with ThreadPoolExecutor(12) as threads:
        for name, content, reasoning in threads.map(ask, range(18)):
            assert (content, reasoning) == (expected[name].answer, expected[name].reasoning)


def test_an_explanation_checks_the_reasons_and_says_what_the_answer_rests_on(client: OpenAI, expected):
    body = {"model": MODEL, "input": [video("fear")], "subtitle": "I am afraid.", "labels": ["fear", "happy", "sad"]}
    found = client.post("/explain", body=body, cast_to=dict)
    evidence = Evidence.from_json(found["evidence"])
    assert evidence.has_pictures and evidence.has_sound
    named = {item.name for item in (*evidence.items, *evidence.unmeasured)}
    assert {"pitch_hz", "face_count", "subtitle"} <= named <= set(EVIDENCE_NAMES)
    assert found["claims"] and {claim["state"] for claim in found["claims"]} <= set(found["counts"])
    reasoning = found["reasoning"]
    assert all(reasoning[claim["start"] : claim["stop"]] for claim in found["claims"])
    assert found["attribution"]["players"] == ["pictures", "sound", "subtitle", "reasons"]
    assert list(found["probabilities"]) == ["fear", "happy", "sad"] and found["read"]["modality"] == "video+audio"
    heard = client.post("/explain", body={**body, "modality": "audio", "subtitle": None}, cast_to=dict)
    assert heard["attribution"]["players"] == ["sound", "reasons"] and not heard["evidence"]["has_pictures"]
    broken = {"type": "video_url", "video_url": {"url": data_url(b"no video")}}
    with pytest.raises(openai.BadRequestError, match="is not a video"):
        client.post("/explain", body={**body, "input": [broken]}, cast_to=dict)


def test_a_subtitle_is_a_field_of_the_prompt(client: OpenAI):
    def count(**extra) -> int:
        asked = client.chat.completions.create(
            model=MODEL, messages=about(video("fear")), max_tokens=1, extra_body=extra
        )
        return asked.usage.prompt_tokens

    said = {"model": MODEL, "input": [video("fear")], "max_tokens": 1}
    plain = client.post("/predictions", body=said, cast_to=dict)["usage"]["prompt_tokens"]
    with_words = client.post("/predictions", body={**said, "subtitle": "I ran."}, cast_to=dict)["usage"][
        "prompt_tokens"
    ]
    assert count() == plain < with_words == count(subtitle="I ran.")


@NEEDS_CURL
def test_the_examples_of_the_docs_run(server: LiveServer, tmp_path: Path, expected):
    page = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
    (tmp_path / "clip.mp4").write_bytes((CLIPS / "fear.mp4").read_bytes())
    said = {}
    for kind, command in (("python", [sys.executable, "-c"]), ("sh", ["bash", "-c"])):
        blocks = re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)
        assert len(blocks) == 2
        for number, block in enumerate(blocks):
            script = block.replace("http://127.0.0.1:8000", server.url)
            run = subprocess.run([*command, script], cwd=tmp_path, capture_output=True, text=True)
            assert run.returncode == 0, run.stderr
            said[kind, number] = run.stdout
    fear = expected["fear"]
    assert said["python", 0].splitlines()[0] == f"{fear.answer} because: {fear.reasoning}"
    assert said["python", 1].splitlines()[0] == f"{fear.reasoning}{fear.answer}"
    assert said["sh", 0].rstrip().endswith("data: [DONE]")
    assert list(json.loads(said["sh", 1])["probabilities"]) == ["fear", "joy", "neutral"]
    (settings,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "server.toml").write_text(settings)
    assert load_run(ServeConfig, [tmp_path / "server.toml"]).clip.max_duration_s == 120


def test_nothing_of_a_request_is_in_the_log(server: LiveServer, client: OpenAI):
    secret = "xyzzy-in-the-question"
    client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": secret}], max_tokens=2)
    with pytest.raises(openai.APIStatusError):
        client.chat.completions.create(model=secret, messages=[{"role": "user", "content": secret}])
    assert not any(secret in line for line in server.lines)


def test_what_the_fixtures_say_is_a_whole_answer(expected):
    assert all(parse_answer(prediction.text).well_formed for prediction in expected.values())
