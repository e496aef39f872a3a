// Client of the REST API. URLs are relative to the page, which may be served below a prefix.
import { askForKey, key } from "./key.js";

const TTS = "ai/tts/qwen/";
const VOICES = "v1/audio/voices";

/** An error response, in the form of the service's problem documents. */
export class Problem extends Error {
  constructor({ title, detail = "", hint = "", errors = [], status = 0 }) {
    super(detail || title);
    this.name = "Problem";
    Object.assign(this, { title, detail, hint, errors, status });
  }
}

/**
 * Send a request.
 *
 * `quiet`: a background request, which must not reopen the key dialog after the user closed it.
 */
async function send(path, { quiet = false, ...options } = {}) {
  const url = new URL(path, document.baseURI);
  for (;;) {
    const used = key.value;
    const headers = { ...options.headers };
    if (used) headers.Authorization = `Bearer ${used}`;
    let response;
    try {
      response = await fetch(url, { ...options, headers, cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem({
        title: "The service is not responding",
        detail: `No response to ${options.method ?? "GET"} ${url.pathname}.`,
        hint: "Check that storycore-tts serve is running. This page reconnects automatically.",
      });
    }
    if (response.ok) return response;
    if (response.status === 401) {
      if (key.value !== used && key.value) continue; // another request got a key in the meantime
      if (used) key.forget();
      if (!(quiet && declined) && (await askForKey(Boolean(used)))) {
        declined = false;
        continue;
      }
      declined = true;
    }
    throw await problemOf(response);
  }
}

let declined = false; // the user closed the dialog, so background requests must not reopen it

async function problemOf(response) {
  const { status, statusText } = response;
  const text = await response.text().catch(() => "");
  let body = {};
  try {
    body = JSON.parse(text);
  } catch {
    // Not a response of the service; it may come from a proxy.
  }
  const detail = body.detail ?? body.error?.message ?? text.slice(0, 300);
  return new Problem({
    title: body.title ?? (statusText || `Error ${status}`),
    detail: typeof detail === "string" ? detail : JSON.stringify(detail),
    hint: body.hint ?? "",
    errors: body.errors ?? [],
    status,
  });
}

const json = async (path, options) => (await send(path, options)).json();
const job = (id) => `${TTS}jobs/${encodeURIComponent(id)}`;
const AS_JOB = { Prefer: "respond-async" };

export const api = {
  status: () => json(`${TTS}status`, { quiet: true }),

  speakers: (backend) =>
    json(`${TTS}speakers?${new URLSearchParams(backend ? { backend } : {})}`, { quiet: true }),

  /** Submit a line; returns the job. */
  generate: (line) =>
    json(`${TTS}generate`, {
      method: "POST",
      headers: { ...AS_JOB, "Content-Type": "application/json" },
      body: JSON.stringify(line),
    }),

  /** Generate a line directly, without adding it to the history; returns the audio. */
  sample: async (line) =>
    (
      await send(`${TTS}generate`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(line),
      })
    ).blob(),

  /** Submit a line in the voice of a recording; returns the job and the id of the recording. */
  async clone(line) {
    const response = await send(`${TTS}clone`, {
      method: "POST",
      headers: AS_JOB,
      body: form(line),
    });
    return { job: await response.json(), reference: response.headers.get("Reference-Id") };
  },

  jobs: (limit) => json(`${TTS}jobs?limit=${limit}`, { quiet: true }),

  cancel: (id) => json(job(id), { method: "DELETE" }),

  remove: (id) => json(`${job(id)}?remove=true`, { method: "DELETE" }),

  audio: async (id) => (await send(`${job(id)}/audio`)).blob(),

  /** Yield a job on each change, until it has ended or the stream breaks. */
  async *events(id, signal) {
    // Not EventSource: it cannot send a key.
    const response = await send(`${job(id)}/events`, {
      quiet: true,
      signal,
      headers: { Accept: "text/event-stream" },
    });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const events = (rest + value).split(/\r\n\r\n|\n\n|\r\r/);
      rest = events.pop();
      for (const event of events) {
        const data = dataOf(event);
        if (data) yield JSON.parse(data);
      }
    }
  },

  keepVoice: (voice) => json(VOICES, { method: "POST", body: form(voice) }),

  inspect: (file) => json(`${TTS}inspect`, { method: "POST", body: form({ file }) }),

  deleteVoice: (name) => send(`${VOICES}/${encodeURIComponent(name)}`, { method: "DELETE" }),
};

/** The data of a server-sent event; "" for comments, which keep the connection open. */
function dataOf(event) {
  const lines = event.split(/\r\n|\n|\r/).filter((line) => line.startsWith("data:"));
  return lines.map((line) => line.slice(5).trimStart()).join("\n");
}

function form(values) {
  const data = new FormData();
  for (const [name, value] of Object.entries(values)) {
    if (value instanceof File) data.append(name, value, value.name);
    else data.append(name, String(value));
  }
  return data;
}
