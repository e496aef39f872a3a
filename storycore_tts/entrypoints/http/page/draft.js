// Values that survive a reload of this tab: those of the form, and those of each submitted line.
const FORM = "storycore-tts-form";
const ASKED = "storycore-tts-asked";
const MOST = 100; // lines

function read(place) {
  try {
    return JSON.parse(sessionStorage.getItem(place)) ?? {};
  } catch {
    return {}; // storage is blocked or contains other data
  }
}

function write(place, values) {
  try {
    sessionStorage.setItem(place, JSON.stringify(values));
  } catch {
    // Storage is blocked or full: values do not survive a reload.
  }
}

export const rememberForm = (values) => write(FORM, values);
export const rememberedForm = () => read(FORM);

/** The form values of a submitted line, by the id of its job. */
export const askedFor = (id) => read(ASKED)[id];

export function rememberAsked(id, values) {
  const known = Object.entries(read(ASKED)).slice(1 - MOST);
  write(ASKED, Object.fromEntries([...known, [id, values]]));
}

export function forgetAll() {
  for (const place of [FORM, ASKED]) sessionStorage.removeItem(place);
}
