// Short voice samples, generated on demand and cached while the page is open.
import { api } from "./api.js";
import { byId, el, icon, setIcon } from "./dom.js";
import { guarded } from "./notices.js";
import { alone } from "./player.js";

const SAMPLES = {
  Chinese: "你好，这是我的声音。",
  English: "Hello, this is what I sound like.",
  French: "Bonjour, voici le son de ma voix.",
  German: "Hallo, so klingt meine Stimme.",
  Italian: "Ciao, questa è la mia voce.",
  Japanese: "こんにちは、わたしのこえです。",
  Korean: "안녕하세요, 제 목소리입니다.",
  Portuguese: "Olá, esta é a minha voz.",
  Russian: "Здравствуйте, это мой голос.",
  Spanish: "Hola, así suena mi voz.",
};
const sounds = new Map(); // audio elements by backend, voice and language

/** A button that plays a sample of this voice. */
export function previewButton({ name, language }) {
  const picture = icon("play");
  const shown = name.replaceAll("_", " ");
  const button = el(
    "button",
    {
      type: "button",
      className: "quiet preview",
      title: "Listen to a sample",
      "aria-label": `Listen to a sample of ${shown}`,
      onclick: async () => {
        if (button.getAttribute("aria-busy") === "true") return;
        button.setAttribute("aria-busy", "true");
        await guarded(() => toggle(), "preview");
        button.removeAttribute("aria-busy");
      },
    },
    picture,
  );
  const show = (audio) => setIcon(picture, audio.paused ? "play" : "stop");

  async function toggle() {
    const audio = await sample(name, language);
    for (const event of ["play", "pause", "ended"]) audio[`on${event}`] = () => show(audio);
    if (!audio.paused) {
      audio.pause();
      return;
    }
    alone(audio);
    audio.currentTime = 0;
    await audio.play();
  }
  return button;
}

async function sample(speaker, spoken) {
  const backend = byId("backend").value;
  const chosen = byId("language").value;
  const language = [chosen, spoken].find((one) => one in SAMPLES) ?? "English";
  const key = [backend, speaker, language].join("\n");
  if (!sounds.has(key)) {
    const blob = await api.sample({ text: SAMPLES[language], speaker, language, backend });
    sounds.set(key, new Audio(URL.createObjectURL(blob)));
  }
  return sounds.get(key);
}

/** Drop the cached samples: with another key, other voices may have the same names. */
export function forgetSamples() {
  for (const audio of sounds.values()) {
    audio.pause();
    URL.revokeObjectURL(audio.src);
  }
  sounds.clear();
}
