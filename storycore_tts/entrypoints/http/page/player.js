// Audio player: a button, a waveform that is also a slider, and a download link.
import { el, icon, seconds, setIcon, setText } from "./dom.js";
import { showProblem } from "./notices.js";
import { decode, encodeWav, extension } from "./wav.js";
import { bars, draw, peaks } from "./waveform.js";

const STEP = 0.5; // s; lines are short
const LEAP = 5;
let current = null; // the playing audio element; one at a time

/** Pause any other audio; `audio` is played next. */
export function alone(audio) {
  if (current !== audio) current?.pause();
  current = audio;
}

export class Player {
  /** `label` is the accessible name; `fileName` the stem of the downloaded file, if offered. */
  constructor(label, fileName = null) {
    this.audio = el("audio", { preload: "auto" });
    this.icon = icon("play");
    this.button = el(
      "button",
      { type: "button", className: "round", "aria-label": "Play", onclick: () => this.toggle() },
      this.icon,
    );
    this.canvas = el("canvas", { "aria-hidden": "true" });
    this.slider = el(
      "div",
      {
        className: "wave",
        role: "slider",
        tabIndex: 0,
        "aria-label": `Position in ${label}`,
        "aria-valuemin": "0",
      },
      this.canvas,
    );
    this.time = el("span", { className: "numbers time" });
    this.link = el(
      "a",
      { className: "button quiet", title: "Download", "aria-label": `Download ${label}` },
      icon("download"),
    );
    this.link.hidden = fileName === null;
    this.fileName = fileName;
    this.element = el(
      "div",
      { className: "player" },
      this.button,
      this.slider,
      this.time,
      this.link,
      this.audio,
    );
    this.samples = null;
    this.duration = 0;
    this.urls = [];
    this.#listen();
  }

  /** Load a sound file. */
  async load(blob) {
    const sound = await decode(blob);
    this.samples = sound?.samples ?? null;
    // Not from the audio element: files without a length in the header report none at first.
    this.duration = sound ? sound.samples.length / sound.sampleRate : 0;
    const headless = extension(blob.type) === "pcm";
    this.link.href = this.#url(blob);
    this.link.download = `${this.fileName}.${extension(blob.type)}`;
    this.audio.src = headless
      ? this.#url(encodeWav(sound.samples, sound.sampleRate))
      : this.link.href;
    this.slider.setAttribute("aria-valuemax", this.duration.toFixed(2));
    this.#measure();
    return this;
  }

  async play() {
    try {
      await this.audio.play();
    } catch (error) {
      // Ignored: paused or removed meanwhile, or the browser requires a click first.
      if (!["AbortError", "NotAllowedError"].includes(error.name)) {
        showProblem({
          title: "The audio cannot be played",
          detail: error.message,
          hint: "Download the file, or choose another format.",
        });
      }
    }
  }

  toggle() {
    if (this.audio.paused) this.play();
    else this.audio.pause();
  }

  close() {
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.sizes.disconnect();
    document.removeEventListener("themechange", this.redraw);
    this.urls.forEach((url) => URL.revokeObjectURL(url));
    this.element.remove();
  }

  #url(blob) {
    const url = URL.createObjectURL(blob);
    this.urls.push(url);
    return url;
  }

  #listen() {
    this.redraw = () => this.#draw();
    this.sizes = new ResizeObserver(() => this.#measure());
    this.sizes.observe(this.canvas);
    document.addEventListener("themechange", this.redraw);
    for (const event of ["play", "pause", "ended"])
      this.audio.addEventListener(event, () => this.#showState());
    for (const event of ["timeupdate", "seeked", "loadedmetadata"])
      this.audio.addEventListener(event, this.redraw);
    this.audio.addEventListener("loadedmetadata", () => {
      if (!this.duration && Number.isFinite(this.audio.duration))
        this.duration = this.audio.duration;
    });
    this.slider.addEventListener("keydown", (event) => this.#key(event));
    this.slider.addEventListener("pointerdown", (event) => {
      this.slider.setPointerCapture(event.pointerId);
      this.#point(event);
    });
    this.slider.addEventListener("pointermove", (event) => {
      if (this.slider.hasPointerCapture(event.pointerId)) this.#point(event);
    });
  }

  #point(event) {
    const box = this.canvas.getBoundingClientRect();
    this.#seek(((event.clientX - box.left) / box.width) * this.duration);
  }

  #key(event) {
    const now = this.audio.currentTime;
    const moves = {
      ArrowRight: now + STEP,
      ArrowUp: now + STEP,
      ArrowLeft: now - STEP,
      ArrowDown: now - STEP,
      PageUp: now + LEAP,
      PageDown: now - LEAP,
      Home: 0,
      End: this.duration,
    };
    if (event.key === " " || (event.key === "Enter" && !event.ctrlKey && !event.metaKey))
      this.toggle();
    else if (event.key in moves) this.#seek(moves[event.key]);
    else return;
    event.preventDefault();
  }

  #seek(to) {
    this.audio.currentTime = Math.max(0, Math.min(this.duration, to));
    this.#draw();
  }

  #showState() {
    const { paused } = this.audio;
    if (!paused) {
      alone(this.audio);
      this.#follow();
    }
    setIcon(this.icon, paused ? "play" : "pause");
    this.button.setAttribute("aria-label", paused ? "Play" : "Pause");
    this.#draw();
  }

  /** Animate smoothly; with reduced motion, four `timeupdate` events per second are enough. */
  #follow() {
    if (this.audio.paused || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    this.#draw();
    requestAnimationFrame(() => this.#follow());
  }

  #measure() {
    if (!this.canvas.clientWidth) return;
    const count = bars(this.canvas);
    this.heights = this.samples ? peaks(this.samples, count) : new Float32Array(count);
    this.#draw();
  }

  #draw() {
    const { currentTime } = this.audio;
    const played = this.duration ? currentTime / this.duration : 0;
    if (this.heights) draw(this.canvas, this.heights, currentTime > 0 ? played : 0);
    setText(this.time, `${currentTime.toFixed(1)} / ${seconds(this.duration)}`);
    this.slider.setAttribute("aria-valuenow", currentTime.toFixed(2));
    this.slider.setAttribute(
      "aria-valuetext",
      `${currentTime.toFixed(1)} of ${this.duration.toFixed(1)} seconds`,
    );
  }
}
