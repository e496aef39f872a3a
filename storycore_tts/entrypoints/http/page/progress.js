// Progress of a job: text and a bar.
import { el, setText } from "./dom.js";
import { hasEnded, store } from "./store.js";

const STAGES = {
  uploading: "Uploading the recording",
  queued: "Waiting for the backend",
  loading: "Loading the model",
  generating: "Generating speech",
  training: "Training",
  downloading: "Downloading the audio",
};
const STATES = {
  queued: "Waiting",
  running: "Running",
  succeeded: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
};

export const stateName = (job) => STATES[job.state] ?? job.state;

/** The stage in words, without frequently changing numbers. */
export function stageName(job) {
  const { progress } = job;
  if (job.state === "queued") {
    const ours = store.before(job); // jobs of other users are not visible
    return ours ? `${STATES.queued}, ${ours} of yours ahead` : STATES.queued;
  }
  if (hasEnded(job) || !progress) return stateName(job);
  const before = progress.queue_position;
  if (progress.stage === "queued" && before) return `${STAGES.queued}, ${before} ahead`;
  return STAGES[progress.stage] ?? progress.stage;
}

function inWords(job) {
  const { fraction, message, epoch, step, total_steps: steps, loss } = job.progress ?? {};
  return [
    stageName(job),
    typeof fraction === "number" && `${Math.round(100 * fraction)} %`,
    epoch && `epoch ${epoch}`,
    step && steps && `step ${step} of ${steps}`,
    typeof loss === "number" && `loss ${loss.toFixed(3)}`,
    message,
  ]
    .filter(Boolean)
    .join(" · ");
}

export class ProgressView {
  constructor(label) {
    this.bar = el("progress", { max: 1, "aria-label": label });
    this.words = el("span", { className: "hint" });
    this.element = el("div", { className: "progress" }, this.bar, this.words);
  }

  show(job) {
    this.element.hidden = hasEnded(job);
    if (hasEnded(job)) return;
    setText(this.words, inWords(job));
    const fraction = job.progress?.fraction;
    if (typeof fraction === "number") this.bar.value = fraction;
    else this.bar.removeAttribute("value"); // unknown
  }
}
