// What this tab remembers over a reload: the form as it is, and how each line was asked for.
const FORM = "storycore-tts-form";
const ASKED = "storycore-tts-asked";
const MOST = 100; // lines

function read(place) {
  try {
    return JSON.parse(sessionStorage.getItem(place)) ?? {};
  } catch {
    return {}; // storage is blocked, or not ours
  }
}

function write(place, values) {
  try {
    sessionStorage.setItem(place, JSON.stringify(values));
  } catch {
    // Blocked or full: then a reload forgets.
  }
}

export const rememberForm = (values) => write(FORM, values);
export const rememberedForm = () => read(FORM);

/** How a line was asked for: the values of the form, by the id of its job. */
export const askedFor = (id) => read(ASKED)[id];

export function rememberAsked(id, values) {
  const known = Object.entries(read(ASKED)).slice(1 - MOST);
  write(ASKED, Object.fromEntries([...known, [id, values]]));
}

export function forgetAll() {
  for (const place of [FORM, ASKED]) sessionStorage.removeItem(place);
}
