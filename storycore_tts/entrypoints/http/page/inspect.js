// Inspection: what a sound file says of itself, and whether that holds.
import { api } from "./api.js";
import { byId, el, setText } from "./dom.js";
import { dismiss, guarded } from "./notices.js";

export function startInspect() {
  byId("inspect").addEventListener("click", () => byId("inspected").click());
  byId("inspected").addEventListener("change", () => {
    const [file] = byId("inspected").files;
    byId("inspected").value = ""; // allows choosing the same file again
    if (file) guarded(() => inspect(file), "inspect");
  });
}

async function inspect(file) {
  show("", "", []);
  const found = await api.inspect(file);
  dismiss("inspect");
  show(`${file.name}: ${found.sentence}`, found.verdict, rows(found));
}

function show(sentence, verdict, facts) {
  byId("verdict").dataset.verdict = verdict;
  setText(byId("verdict"), sentence);
  byId("findings").replaceChildren(
    ...facts.flatMap(([name, value]) => [
      el("dt", { textContent: name }),
      el("dd", { textContent: value }),
    ]),
  );
}

function rows({ tags, signature, watermark }) {
  const heard = watermark.score === null ? "" : ` (score ${watermark.score.toFixed(2)})`;
  const all = [
    ["Source type", tags.source_type?.split("/").pop()],
    ["Generator", tags.generator],
    ["Created", tags.created],
    ["Model", tags.model],
    ["Job", tags.job],
    ["Signature", withReason(signature)],
    ["Signed by", signature.signed_by],
    ["Actions", signature.actions.join(", ")],
    ["Watermark", withReason(watermark) + heard],
  ];
  return all.filter(([, value]) => value);
}

const withReason = ({ state, reason }) => (reason ? `${state}: ${reason}` : state);
