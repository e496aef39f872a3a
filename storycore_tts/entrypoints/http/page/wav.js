// Sound files: encoding, decoding and detection of formats.

const EXTENSIONS = {
  "audio/wav": "wav",
  "audio/x-wav": "wav",
  "audio/flac": "flac",
  "audio/mpeg": "mp3",
  "audio/ogg": "ogg",
  "audio/aac": "aac",
  "audio/mp4": "m4a",
  "audio/pcm": "pcm",
};
const PCM_RATE = 24_000; // Hz; .pcm files have no header, and the service uses this rate

export function extension(mediaType) {
  if (mediaType.includes("opus")) return "opus";
  return EXTENSIONS[mediaType.split(";")[0].trim()] ?? "bin";
}

/** Encode samples, −1..1, as a 16-bit mono wav file. */
export function encodeWav(samples, sampleRate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const ascii = (at, text) => [...text].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  ascii(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  ascii(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, 2 * sampleRate, true); // bytes per second
  view.setUint16(32, 2, true); // bytes per frame
  view.setUint16(34, 16, true); // bits
  ascii(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, i) => {
    view.setInt16(44 + 2 * i, Math.round(Math.max(-1, Math.min(1, sample)) * 32767), true);
  });
  return new Blob([view], { type: "audio/wav" });
}

/** Decode a sound file to mono samples; null if the browser cannot decode it. */
export async function decode(blob) {
  const bytes = await blob.arrayBuffer();
  if (extension(blob.type) === "pcm") return { samples: fromPcm(bytes), sampleRate: PCM_RATE };
  try {
    // An offline context needs no permission to play audio.
    const audio = await new OfflineAudioContext(1, 1, 48_000).decodeAudioData(bytes);
    return { samples: mono(audio), sampleRate: audio.sampleRate };
  } catch {
    return null;
  }
}

function mono(audio) {
  if (audio.numberOfChannels === 1) return audio.getChannelData(0);
  const sum = new Float32Array(audio.length);
  for (let channel = 0; channel < audio.numberOfChannels; channel++) {
    audio
      .getChannelData(channel)
      .forEach((sample, i) => (sum[i] += sample / audio.numberOfChannels));
  }
  return sum;
}

function fromPcm(bytes) {
  const view = new DataView(bytes);
  return Float32Array.from(
    { length: bytes.byteLength >> 1 },
    (_, i) => view.getInt16(2 * i, true) / 32768,
  );
}

/** Whether the service supports this file, by its first bytes, as the service itself does. */
export async function isTaken(blob) {
  const head = new Uint8Array(await blob.slice(0, 4).arrayBuffer());
  const start = String.fromCharCode(...head);
  const mp3 = start.startsWith("ID3") || (head[0] === 0xff && (head[1] & 0xe6) === 0xe2);
  return mp3 || ["RIFF", "RF64", "FORM", "fLaC", "OggS"].includes(start);
}
