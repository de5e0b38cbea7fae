// The page's behaviour: a clip, a question, and answers that stream in. Everything is held in this page alone.
"use strict";

const facts = JSON.parse(document.getElementById("facts").textContent);
const find = (id) => document.getElementById(id);
const state = { clip: null, file: null, asking: null, history: [], recorder: null };

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function headers(more) {
  const key = find("key") ? find("key").value.trim() : "";
  return key ? { ...more, Authorization: `Bearer ${key}` } : { ...more };
}

// Fetches, and turns every failure into an Error whose message is a sentence for people.
async function call(path, options) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: headers(options.headers) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. It may have stopped, or be starting again; try once more.");
  }
  if (response.ok) return response;
  let body = null;
  try { body = (await response.json()).error; } catch { /* no JSON: the status has to do */ }
  const failure = new Error(body ? body.message : `The server answered with status ${response.status}.`);
  failure.code = body ? body.code : null;
  const wait = response.headers.get("Retry-After");
  if (wait) failure.message += ` (in ${wait} s)`;
  throw failure;
}

function say(id, sentence) { find(id).textContent = sentence; }

function complain(error) {
  const sentence = error.message || String(error);
  say("problem", sentence.charAt(0).toUpperCase() + sentence.slice(1));
}

// The clip

function setClip(blob, name) {
  forgetUpload();
  say("problem", "");
  if (blob.size === 0) return complain(new Error(`${name} is empty.`));
  if (blob.size > facts.max_bytes) {
    const limit = Math.floor(facts.max_bytes / 2 ** 20);
    return complain(new Error(`${name} has ${(blob.size / 2 ** 20).toFixed(1)} MiB; at most ${limit} MiB are read.`));
  }
  state.clip = { blob, name };
  state.file = null;
  const url = URL.createObjectURL(blob);
  const kind = blob.type.split("/")[0];
  const tag = kind === "image" ? "img" : kind === "audio" ? "audio" : "video";
  const shown = element(tag);
  shown.src = url;
  if (tag === "img") shown.alt = `The picture ${name}`;
  else { shown.controls = true; shown.setAttribute("aria-label", `The clip ${name}`); }
  find("preview").replaceChildren(shown);
  say("clip-status", `${name}, ${(blob.size / 1024).toFixed(0)} KiB.`);
  find("submit").disabled = false;
}

function forgetUpload() {
  if (!state.file) return;
  fetch(`/v1/files/${state.file}`, { method: "DELETE", headers: headers(), keepalive: true }).catch(() => {});
  state.file = null;
}

async function upload(signal) {
  if (state.file) return state.file;
  const form = new FormData();
  form.append("file", state.clip.blob, state.clip.name);
  form.append("purpose", "user_data");
  const response = await call("/v1/files", { method: "POST", body: form, signal });
  state.file = (await response.json()).id;
  return state.file;
}

async function record(video) {
  say("problem", "");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: true, video });
  } catch (error) {
    const devices = video ? "camera and microphone" : "microphone";
    return complain(new Error(`The ${devices} cannot be used: ${error.message || error.name}`));
  }
  const pieces = [];
  const recorder = new MediaRecorder(stream);
  state.recorder = recorder;
  const started = Date.now();
  const clock = setInterval(() => {
    const seconds = (Date.now() - started) / 1000;
    say("clip-status", `Recording, ${seconds.toFixed(0)} s.`);
    if (seconds >= facts.max_recording_s) recorder.stop();
  }, 500);
  recorder.ondataavailable = (event) => pieces.push(event.data);
  recorder.onstop = () => {
    clearInterval(clock);
    for (const track of stream.getTracks()) track.stop();
    state.recorder = null;
    showRecording(false);
    setClip(new Blob(pieces, { type: recorder.mimeType.split(";")[0] }), video ? "recording.webm" : "recording-sound.webm");
    find("submit").focus();
  };
  recorder.start();
  showRecording(true);
  find("record-stop").focus();
}

function showRecording(isOn) {
  find("record-stop").hidden = !isOn;
  for (const id of ["record-both", "record-sound"]) find(id).disabled = isOn;
}

// The question

function question(model) {
  return find("text").value.trim() || facts.instructions[model];
}

// What every way of asking about an entry sends.
function aboutEntry(entry) {
  const asked = { model: entry.model, modality: entry.modality };
  return entry.subtitle ? { ...asked, subtitle: entry.subtitle } : asked;
}

function labels() {
  return [...new Set(find("labels").value.split(",").map((label) => label.trim()).filter(Boolean))];
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const parts = held.split("\n\n");
    held = parts.pop();
    for (const part of parts) if (part.startsWith("data: ")) yield part.slice(6);
  }
}

// Runs with the uploaded file; uploads it again where the server has dropped it.
async function withFile(signal, work) {
  try {
    return await work(await upload(signal));
  } catch (error) {
    if (error.code !== "file_not_found") throw error;
    state.file = null;
    return work(await upload(signal));
  }
}

async function stream(entry, view, signal) {
  const body = (id) => ({
    ...aboutEntry(entry),
    stream: true,
    messages: [{ role: "user", content: [{ type: "file", file: { file_id: id } }, { type: "text", text: entry.question }] }],
  });
  const response = await withFile(signal, (id) => call("/v1/chat/completions", post(body(id), signal)));
  for await (const event of events(response)) {
    if (event === "[DONE]") break;
    const chunk = JSON.parse(event);
    if (chunk.error) throw new Error(chunk.error.message);
    if (chunk.clip) entry.clip = chunk.clip;
    for (const choice of chunk.choices || []) {
      entry.answer += choice.delta.content || "";
      entry.reasoning += choice.delta.reasoning || "";
      if (choice.finish_reason) entry.finish_reason = choice.finish_reason;
    }
    view.update();
  }
  if (!entry.finish_reason) throw new Error("The answer broke off; the server may have stopped. Ask again.");
}

function post(body, signal) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal };
}

async function predict(entry, view, signal) {
  const names = labels();
  if (!names.length) return;
  const body = (id) => ({
    ...aboutEntry(entry),
    instruction: entry.question,
    labels: names,
    input: [{ type: "file", file: { file_id: id } }],
  });
  const response = await withFile(signal, (id) => call("/v1/predictions", post(body(id), signal)));
  entry.probabilities = (await response.json()).probabilities;
  view.update();
}

async function ask(event) {
  event.preventDefault();
  if (!state.clip || state.asking) return;
  say("problem", "");
  const models = [find("model").value, find("second") ? find("second").value : ""].filter(Boolean);
  const modality = document.querySelector("input[name=modality]:checked").value;
  const round = models.map((model) => ({
    clip_name: state.clip.name, model, modality, question: question(model), subtitle: find("subtitle").value.trim(),
    answer: "", reasoning: "", finish_reason: null, clip: null, probabilities: null,
  }));
  const card = element("article", undefined, "card");
  const pair = element("div", undefined, "pair");
  const views = round.map((entry) => answerView(entry, previous(entry)));
  pair.append(...views.map((view) => view.root));
  card.append(element("h3", heading(round[0])), pair);
  find("history").prepend(card);
  const asking = new AbortController();
  state.asking = asking;
  find("submit").disabled = true;
  find("stop").hidden = false;
  say("progress", "The answer is being written.");
  try {
    for (const [place, entry] of round.entries()) {
      await stream(entry, views[place], asking.signal);
      await predict(entry, views[place], asking.signal);
    }
    state.history.push(...round);
    say("progress", round.map((entry) => `${entry.model}: ${entry.answer || "no answer"}`).join("; "));
  } catch (error) {
    card.remove();
    if (error.name === "AbortError") say("progress", "Stopped.");
    else { complain(error); say("progress", "There is no answer."); }
  } finally {
    state.asking = null;
    find("submit").disabled = false;
    find("stop").hidden = true;
    for (const id of ["export-json", "forget"]) find(id).disabled = !state.history.length;
  }
}

// Explains an answer: what the reasons say against what can be measured, and what the answer rests on.
async function explain(entry, button, root) {
  say("problem", "");
  button.disabled = true;
  say("progress", "The clip is being measured; the first time takes some seconds longer.");
  const names = labels();
  const body = (id) => ({
    ...aboutEntry(entry),
    instruction: entry.question,
    input: [{ type: "file", file: { file_id: id } }],
    page: true,
    ...(names.length ? { labels: names } : {}),
  });
  try {
    if (!state.clip || state.clip.name !== entry.clip_name) throw new Error(`${entry.clip_name} is not the clip above any more; choose it again.`);
    const response = await withFile(undefined, (id) => call("/v1/explain", post(body(id))));
    const { page, ...explanation } = await response.json();
    entry.explanation = explanation;
    const url = URL.createObjectURL(new Blob([page], { type: "text/html" }));
    const frame = element("iframe");
    frame.title = `Explanation of ${entry.clip_name} by ${entry.model}`;
    frame.setAttribute("sandbox", "allow-same-origin");
    frame.addEventListener("load", () => { frame.style.height = `${frame.contentDocument.documentElement.scrollHeight + 8}px`; });
    frame.src = url;
    const saving = element("button", "Save this page");
    saving.type = "button";
    saving.addEventListener("click", () => save(page, "r1omni-explanation.html", "text/html"));
    root.append(frame, saving);
    button.remove();
    const counts = explanation.counts;
    say("progress", `Claims: ${counts.supported} supported, ${counts.contradicted} contradicted, ${counts.unverifiable} cannot be checked.`);
  } catch (error) {
    button.disabled = false;
    complain(error);
    say("progress", "There is no explanation.");
  }
}

// The answers

function previous(entry) {
  return state.history.findLast((other) => other.model === entry.model && other.clip_name === entry.clip_name);
}

function heading(entry) {
  const read = { auto: "pictures and sound", video: "pictures alone", audio: "sound alone" }[entry.modality];
  return `${entry.clip_name}, ${read}${entry.subtitle ? `, subtitle "${entry.subtitle}"` : ""}`;
}

function answerView(entry, before) {
  const root = element("section", undefined, "entry");
  const said = element("div");
  const answer = element("p", "", "answer");
  const reasons = element("p", "", "reasons");
  const changed = element("p", "", "changed");
  const read = element("p", "", "note");
  const bars = element("dl", undefined, "bars");
  const check = element("button", "Check the reasons");
  check.type = "button";
  check.setAttribute("aria-label", `Check the reasons of ${entry.model}`);
  check.addEventListener("click", () => explain(entry, check, root));
  said.append(element("h4", entry.model), answer, element("h4", "Why"), reasons, changed, read, check);
  root.append(said, bars);
  function update() {
    answer.textContent = entry.answer || "…";
    reasons.textContent = entry.reasoning || (entry.finish_reason ? "The model gave no reasons." : "…");
    changed.textContent = entry.finish_reason && before ? difference(entry, before) : "";
    changed.hidden = !changed.textContent;
    check.hidden = !entry.finish_reason;
    read.textContent = entry.clip ? readWords(entry.clip) : "";
    if (entry.probabilities) bars.replaceChildren(...barParts(entry.probabilities));
  }
  update();
  return { root, update };
}

function difference(entry, before) {
  if (entry.answer !== before.answer) return `Before: ${before.answer || "no answer"}. Now: ${entry.answer || "no answer"}.`;
  if (entry.reasoning !== before.reasoning) return "The same answer as before, for other reasons.";
  return "The same answer and the same reasons as before.";
}

function readWords(clip) {
  const parts = [];
  if (clip.pictures) parts.push(clip.pictures.total_s ? `${clip.pictures.num_frames} frames of ${clip.pictures.total_s.toFixed(1)} s of pictures` : "a still image");
  if (clip.sound) parts.push(`${clip.sound.used_s.toFixed(1)} of ${clip.sound.total_s.toFixed(1)} s of sound`);
  const remarks = clip.remarks.length ? ` Note: ${clip.remarks.join("; ")}.` : "";
  return `Read: ${parts.join(", ") || "no clip"}.${remarks}`;
}

// As `probability_text` in core/probability_text.py: never as certain.
function probabilityText(probability) {
  const rounded = (100 * probability).toFixed(0);
  return { 0: "< 1 %", 100: "> 99 %" }[rounded] ?? `${rounded} %`;
}

function barParts(probabilities) {
  const parts = [];
  for (const [label, share] of Object.entries(probabilities).sort((a, b) => b[1] - a[1])) {
    const bar = element("dd", undefined, "bar");
    bar.setAttribute("aria-hidden", "true");
    const filled = element("span");
    filled.style.width = `${(100 * share).toFixed(1)}%`;
    bar.append(filled);
    parts.push(element("dt", label), bar, element("dd", probabilityText(share)));
  }
  return parts;
}

function save(text, name, kind) {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([text], { type: kind }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function forget() {
  state.history = [];
  find("history").replaceChildren();
  for (const id of ["export-json", "forget"]) find(id).disabled = true;
  say("progress", "Nothing was asked yet.");
}

// What happens when

const drop = find("drop");
for (const name of ["dragenter", "dragover"]) drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  const file = event.dataTransfer.files[0];
  if (file) setClip(file, file.name);
});
find("file").addEventListener("change", (event) => { const file = event.target.files[0]; if (file) setClip(file, file.name); });
find("record-both").addEventListener("click", () => record(true));
find("record-sound").addEventListener("click", () => record(false));
find("record-stop").addEventListener("click", () => state.recorder && state.recorder.stop());
for (const button of document.querySelectorAll(".sample")) {
  button.addEventListener("click", async () => {
    try {
      const response = await call(`/page/samples/${button.dataset.name}`, {});
      setClip(await response.blob(), button.dataset.name);
    } catch (error) { complain(error); }
  });
}
find("model").addEventListener("change", () => { find("text").placeholder = facts.instructions[find("model").value]; });
find("ask").addEventListener("submit", ask);
find("stop").addEventListener("click", () => state.asking && state.asking.abort());
find("forget").addEventListener("click", forget);
find("export-json").addEventListener("click", () => save(JSON.stringify(state.history, null, 2), "r1omni-answers.json", "application/json"));
addEventListener("pagehide", forgetUpload);
