// The jobs that this page knows, from whichever source heard of them last.
import { api } from "./api.js";
import { wait } from "./dom.js";

const ENDED = ["succeeded", "failed", "cancelled"];
const RETRY = 1.5; // s

export const hasEnded = (job) => ENDED.includes(job.state);

class Store extends EventTarget {
  #jobs = new Map();
  #removed = new Set();

  /** Take a job as it stands; what ended stays so, however late an older answer comes. */
  put(job) {
    const known = this.#jobs.get(job.id);
    if ((known && hasEnded(known)) || this.#removed.has(job.id)) return;
    this.#jobs.set(job.id, job);
    this.dispatchEvent(new CustomEvent("job", { detail: job }));
    if (known && hasEnded(job)) this.dispatchEvent(new Event("ended"));
  }

  get(id) {
    return this.#jobs.get(id);
  }

  /** How many jobs known here that backend does before this one. */
  before(job) {
    return [...this.#jobs.values()].filter(
      (other) =>
        other.backend === job.backend &&
        !hasEnded(other) &&
        (other.state === "running" ||
          other.priority > job.priority ||
          (other.priority === job.priority && other.created < job.created)),
    ).length;
  }

  get active() {
    return this.count("queued") + this.count("running") > 0;
  }

  count(state) {
    return [...this.#jobs.values()].filter((job) => job.state === state).length;
  }

  remove(id) {
    this.#jobs.delete(id);
    this.#removed.add(id); // an older list may still name it
    this.dispatchEvent(new CustomEvent("removed", { detail: id }));
  }

  /** Ask whoever has the form to fill it as for this job. */
  reuse(job) {
    this.dispatchEvent(new CustomEvent("reuse", { detail: job }));
  }

  clear() {
    this.#jobs.clear();
    this.dispatchEvent(new Event("cleared"));
  }
}

export const store = new Store();

const following = new Map();
const STREAMS = 3;

/**
 * Hear of each change of this job until it has ended.
 *
 * Of the three latest jobs: a browser opens six connections to a server, and streams would use them
 * up. The others are heard of when the list is asked for again.
 */
export async function follow(id) {
  const mine = new AbortController();
  following.set(id, mine);
  if (following.size > STREAMS) {
    const [oldest, its] = following.entries().next().value;
    its.abort();
    following.delete(oldest);
  }
  try {
    await hear(id, mine);
  } finally {
    if (following.get(id) === mine) following.delete(id);
  }
}

async function hear(id, mine) {
  while (store.get(id) && !hasEnded(store.get(id)) && !mine.signal.aborted) {
    try {
      for await (const job of api.events(id, mine.signal)) store.put(job);
    } catch (error) {
      // No connection: the list is asked for again too, and says so. A refusal is for good.
      if (error.status) return;
    }
    await wait(RETRY);
  }
}
