// Cloning: a recording is dropped, chosen or recorded.
import { api } from "./api.js";
import { announce, byId, seconds, setText } from "./dom.js";
import { dismiss, guarded, note } from "./notices.js";
import { Player } from "./player.js";
import { record } from "./recorder.js";
import { decode, encodeWav, isTaken } from "./wav.js";
import { bars, draw } from "./waveform.js";

const GOOD = [3, 15]; // s; otherwise the model skips words or repeats parts of the recording
const SHORTEST = 0.5; // s; minimum of the service
const LONGEST_TAKE = 60; // s; recording stops automatically

const AGREED = "The speaker has agreed to the use of their voice."; // the box that check() requires

let reference = null; // {file, duration, id: its id on the service, or null}
let player = null;
let take = null;

/** `kept` is called with the name of each stored voice. */
export function startClone(kept) {
  byId("choose").addEventListener("click", () => byId("file").click());
  byId("file").addEventListener("change", () => {
    const [file] = byId("file").files;
    byId("file").value = ""; // allows choosing the same file again
    if (file) guarded(() => use(file), "reference");
  });
  byId("record").addEventListener("click", () =>
    guarded(() => (take ? stop() : start()), "reference"),
  );
  byId("timbre").addEventListener(
    "change",
    () => (byId("transcript").disabled = byId("timbre").checked),
  );
  byId("keep").addEventListener("click", () => guarded(() => keep(kept), "keep"));
  startDropping();
}

function startDropping() {
  const drop = byId("drop");
  // A file dropped beside the field must not replace the page.
  for (const event of ["dragover", "drop"])
    window.addEventListener(event, (e) => e.preventDefault());
  drop.addEventListener("dragover", () => drop.classList.add("over"));
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    drop.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) guarded(() => use(file), "reference");
  });
}

async function use(file) {
  const sound = await decode(file);
  let fit = file;
  if (!(await isTaken(file))) {
    if (!sound) {
      throw {
        title: "This file cannot be used",
        detail: `${file.name} is not a supported audio file.`,
        hint: "Use wav, flac, mp3, ogg, m4a, mp4, webm or aiff.",
      };
    }
    fit = new File(
      [encodeWav(sound.samples, sound.sampleRate)],
      file.name.replace(/\.\w+$/, "") + ".wav",
      { type: "audio/wav" },
    );
  }
  dismiss("reference");
  player?.close();
  player = sound && (await new Player(file.name).load(fit));
  reference = { file: fit, duration: sound && sound.samples.length / sound.sampleRate, id: null };
  byId("reference").hidden = !player;
  byId("reference").replaceChildren(...(player ? [player.element] : []));
  setText(byId("length"), advice(file.name, reference.duration));
}

function advice(name, duration) {
  if (duration === null)
    return `${name}: your browser cannot play this file, but the service may be able to read it.`;
  const length = `${name}: ${seconds(duration)}.`;
  if (duration < SHORTEST)
    return `${length} Too short: use 3 to 15 seconds.`;
  if (duration < GOOD[0]) return `${length} A little short: 3 to 15 seconds work best.`;
  if (duration > GOOD[1]) return `${length} A little long: 3 to 15 seconds work best.`;
  return `${length} A good length.`;
}

async function start() {
  const button = byId("record");
  button.disabled = true; // while the browser asks for the microphone
  try {
    const levels = [];
    take = await record((block, elapsed) => {
      levels.push(
        Math.min(1, 1.5 * block.reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0)),
      );
      draw(byId("level"), levels.slice(-bars(byId("level"))));
      setText(byId("elapsed"), seconds(elapsed));
      if (elapsed >= LONGEST_TAKE && take) guarded(stop, "reference");
    });
  } finally {
    button.disabled = false;
  }
  dismiss("reference");
  showTake(true);
  button.focus();
}

async function stop() {
  const ended = take;
  take = null;
  showTake(false);
  const { samples, sampleRate } = await ended.stop();
  await use(
    new File([encodeWav(samples, sampleRate)], "Your recording.wav", { type: "audio/wav" }),
  );
}

function showTake(running) {
  byId("recording").hidden = !running;
  setText(byId("record").querySelector("span"), running ? "Stop" : "Record");
  byId("record")
    .querySelector("use")
    .setAttribute("href", running ? "#icon-stop" : "#icon-microphone");
  byId("record").classList.toggle("danger", running);
  announce(running ? "Recording" : "Recording finished");
}

/** Check that everything needed is there; otherwise focus the missing field and throw. */
function check() {
  need(
    reference,
    "choose",
    "No recording yet",
    "Drop one, choose a file, or record your own voice.",
  );
  need(
    byId("timbre").checked || byId("transcript").value.trim(),
    "transcript",
    "Transcript missing",
    "Enter what is said in the recording, or check “No transcript”.",
  );
  need(
    byId("consent").checked,
    "consent",
    "Consent missing",
    "Check the box if the speaker has agreed.",
  );
}

function need(met, id, title, hint) {
  const field = byId(id);
  if (field.matches("input, textarea")) field.setAttribute("aria-invalid", String(!met));
  if (met) return;
  field.focus();
  throw { title, detail: "", hint };
}

/** Submit a line in this voice; `checked` is called before it is sent. Returns the job. */
export async function cloneLine(line, checked) {
  check();
  checked();
  const ours = reference;
  const words = byId("timbre").checked
    ? { x_vector_only: true }
    : { transcript: byId("transcript").value };
  words.consent = byId("consent-words").value.trim() || AGREED;
  const known = ours.id && { reference_id: ours.id };
  let answer;
  try {
    answer = await api.clone({ ...line, ...words, ...(known ?? { reference: ours.file }) });
  } catch (error) {
    if (!known || error.status !== 404) throw error;
    answer = await api.clone({ ...line, ...words, reference: ours.file }); // it has expired
  }
  ours.id = answer.reference ?? null;
  return answer.job;
}

async function keep(kept) {
  check();
  const name = byId("voice-name").value.trim();
  const consent = byId("consent-words").value.trim();
  need(name, "voice-name", "Name missing", "Enter a name for the voice.");
  need(
    consent,
    "consent-words",
    "Consent missing",
    "Say who agreed and when, for example “my own voice, recorded today”.",
  );
  const transcript = byId("timbre").checked ? "" : byId("transcript").value.trim();
  await api.keepVoice({
    name,
    consent,
    ...(transcript && { ref_text: transcript }),
    audio_sample: reference.file,
  });
  dismiss("keep");
  note(`The voice ${name} was saved.`);
  kept(name);
}
