// The jobs known to this page, updated from lists, streams and responses.
import { api } from "./api.js";
import { wait } from "./dom.js";

const ENDED = ["succeeded", "failed", "cancelled"];
const RETRY = 1.5; // s

export const hasEnded = (job) => ENDED.includes(job.state);

class Store extends EventTarget {
  #jobs = new Map();
  #removed = new Set();

  /** Update a job; an ended job is never replaced by an older response. */
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

  /** Number of known jobs that the backend will run before this one. */
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
    this.#removed.add(id); // an older response may still contain it
    this.dispatchEvent(new CustomEvent("removed", { detail: id }));
  }

  /** Request that the form be filled with the values of this job. */
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
 * Stream the changes of a job until it has ended.
 *
 * Limited to the three latest jobs, since browsers open only six connections per server. Other jobs
 * are updated when the list is refreshed.
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
      // Connection errors are reported by the job list and retried here; error responses are final.
      if (error.status) return;
    }
    await wait(RETRY);
  }
}
