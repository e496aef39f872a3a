// The jobs that this page knows, from whichever source heard of them last.
import { api } from "./api.js";
import { wait } from "./dom.js";

const ENDED = ["succeeded", "failed", "cancelled"];
const RETRY = 1.5; // s

export const hasEnded = (job) => ENDED.includes(job.state);

class Store extends EventTarget {
  #jobs = new Map();

  /** Take a job as it stands; what ended stays so, however late an older answer comes. */
  put(job) {
    const known = this.#jobs.get(job.id);
    if (known && hasEnded(known)) return;
    this.#jobs.set(job.id, job);
    this.dispatchEvent(new CustomEvent("job", { detail: job }));
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
    return [...this.#jobs.values()].some((job) => !hasEnded(job));
  }

  clear() {
    this.#jobs.clear();
    this.dispatchEvent(new Event("cleared"));
  }
}

export const store = new Store();

let following = null;

/**
 * Hear of each change of this job until it has ended.
 *
 * One job at a time: a browser opens six connections to a server, and streams would use them up.
 * The others are heard of when the list is asked for again.
 */
export async function follow(id) {
  following?.abort();
  const mine = (following = new AbortController());
  while (store.get(id) && !hasEnded(store.get(id)) && !mine.signal.aborted) {
    try {
      for await (const job of api.events(id, mine.signal)) store.put(job);
    } catch (error) {
      // Nobody there: the list is asked for again too, and says so. A refusal is for good.
      if (error.status) return;
    }
    await wait(RETRY);
  }
}
