// View of a job: its state, its buttons and its audio.
import { api } from "./api.js";
import { announce, clock, el, icon, seconds, setText } from "./dom.js";
import { guarded } from "./notices.js";
import { Player } from "./player.js";
import { ProgressView, stateName } from "./progress.js";
import { hasEnded, store } from "./store.js";
import { extension } from "./wav.js";

const LONGEST_STEM = 40; // characters of the text in a file name

/** A descriptive file name that is valid on any system. */
function stem(job) {
  const words = (job.text ?? "").normalize("NFC").match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];
  return words.join("-").slice(0, LONGEST_STEM).replace(/-$/, "") || job.id;
}

const shortened = (text) => (text.length > 60 ? `${text.slice(0, 59)}…` : text);

export function labelOf(job) {
  return job.text ? `“${shortened(job.text)}”` : `${job.kind} ${job.id.slice(0, 8)}`;
}

/** The result of a job in one line. */
function facts({ result, backend, speaker, kind }) {
  const voice =
    kind === "clone" ? "cloned voice" : result?.speaker || result?.speaker_name || speaker;
  return [
    voice,
    result?.backend ?? backend,
    typeof result?.duration === "number" && seconds(result.duration),
    Number.isInteger(result?.seed) && `seed ${result.seed}`,
    result?.checkpoint_path,
  ]
    .filter(Boolean)
    .join(" · ");
}

export class JobView {
  constructor(job) {
    this.label = labelOf(job);
    this.badge = el("span", { className: "badge" });
    this.facts = el("span", { className: "hint facts" });
    this.time = el("time", { className: "hint" });
    this.progress = new ProgressView(`Progress of ${this.label}`);
    this.trouble = el("div", { className: "trouble", hidden: true });
    this.sound = el("div", { hidden: true });
    this.cancelButton = this.#button("Cancel", () => this.#cancel());
    this.againButton = this.#button("Use again", () => store.reuse(this.job));
    this.deleteButton = this.#button("Delete", () => this.#delete());
    this.playButton = this.#button("Play", () => this.play(), icon("play"));
    this.saveButton = this.#button("Download", () => this.#save(), icon("download"));
    this.player = null;
    this.element = el(
      "div",
      { className: "job" },
      el("p", { className: "line", textContent: job.text || this.label, title: job.text ?? "" }),
      el("div", { className: "meta" }, this.badge, this.time, this.facts),
      this.progress.element,
      this.trouble,
      this.sound,
      el(
        "div",
        { className: "bar" },
        this.cancelButton,
        this.playButton,
        this.saveButton,
        this.againButton,
        this.deleteButton,
      ),
    );
    this.show(job);
  }

  show(job) {
    this.job = job;
    const audible = job.state === "succeeded" && Boolean(job.links?.audio);
    this.element.dataset.state = job.state;
    setText(this.badge, stateName(job));
    setText(this.facts, facts(job));
    setText(this.time, clock(job.ended ?? job.created));
    this.time.dateTime = job.ended ?? job.created;
    this.progress.show(job);
    this.#showTrouble(job);
    this.cancelButton.hidden = hasEnded(job);
    this.playButton.hidden = !audible || this.player !== null;
    this.saveButton.hidden = this.playButton.hidden;
    this.againButton.hidden = job.kind === "training";
    this.deleteButton.hidden = !hasEnded(job);
  }

  /** Fetch the audio and play it. */
  async play() {
    if (!this.player) {
      const keepsFocus = document.activeElement === this.playButton;
      const player = (this.player = new Player(this.label, stem(this.job)));
      this.show(this.job);
      try {
        await player.load(await this.#fetch());
      } catch (error) {
        player.close();
        this.player = null;
        this.show(this.job);
        throw error;
      }
      this.sound.replaceChildren(player.element);
      this.sound.hidden = false;
      if (keepsFocus) player.button.focus();
    }
    await this.player.play();
  }

  close() {
    this.player?.close();
    this.element.remove();
  }

  #button(words, task, picture = null) {
    const { label } = this;
    // The accessible name includes the job, since there are many such buttons.
    const button = el(
      "button",
      { type: "button", className: "small", "aria-label": `${words} ${label}` },
      picture,
      words,
    );
    button.addEventListener("click", async () => {
      button.setAttribute("aria-busy", "true");
      await guarded(task);
      button.removeAttribute("aria-busy");
    });
    return button;
  }

  async #cancel() {
    store.put(await api.cancel(this.job.id));
  }

  async #delete() {
    await api.remove(this.job.id).catch((error) => {
      if (error.status !== 404) throw error; // already deleted
    });
    store.remove(this.job.id);
    announce(`${this.label} was deleted`);
  }

  #fetch() {
    this.blob ??= api.audio(this.job.id).catch((error) => {
      this.blob = null;
      throw error;
    });
    return this.blob;
  }

  async #save() {
    const blob = await this.#fetch();
    const href = URL.createObjectURL(blob);
    el("a", { href, download: `${stem(this.job)}.${extension(blob.type)}` }).click();
    setTimeout(() => URL.revokeObjectURL(href), 60_000); // the download reads it asynchronously
  }

  #showTrouble({ problem, result }) {
    const parts = [];
    if (problem) {
      parts.push(
        el(
          "p",
          {},
          el("strong", { textContent: problem.title ?? "Failed" }),
          ` ${problem.detail ?? ""}`,
        ),
      );
      if (problem.hint) parts.push(el("p", { className: "what-to-do", textContent: problem.hint }));
    }
    for (const warning of result?.warnings ?? []) parts.push(el("p", { textContent: warning }));
    this.trouble.hidden = parts.length === 0;
    this.trouble.classList.toggle("failed", Boolean(problem));
    if (this.trouble.childElementCount !== parts.length) this.trouble.replaceChildren(...parts);
  }
}
