// OpenAI's package for Node: whole files, streams, lists and errors.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import OpenAI from "openai";

const [url, folder, line] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "unused" });
const { version } = JSON.parse(readFileSync("node_modules/openai/package.json"));
let made = 0;

function told(asked, data, kind) {
  const file = join(folder, `${made++}.${kind}`);
  writeFileSync(file, data);
  console.log(JSON.stringify({ version, asked, file }));
}

const whole = await client.audio.speech.create({ model: "tts-1", voice: "alloy", input: line });
told("tts-1, alloy, whole", Buffer.from(await whole.arrayBuffer()), "mp3");
const nulls = { model: "gpt-4o-mini-tts", voice: "coral", input: line, instructions: null };
const again = await client.audio.speech.create(nulls);
told("gpt-4o-mini-tts, coral, nulls", Buffer.from(await again.arrayBuffer()), "mp3");
for (const kind of ["wav", "pcm"]) {
  const answer = await client.audio.speech.create({
    model: "qwen3-tts", voice: "Serena", input: line, response_format: kind, stream_format: "audio",
  });
  const pieces = [];
  for await (const piece of answer.body) pieces.push(piece);
  told(`qwen3-tts, Serena, ${kind} streamed`, Buffer.concat(pieces), kind);
}
const { voices } = await client.get("/audio/voices");
if (!voices.some((voice) => voice.id === "Ryan")) throw new Error(JSON.stringify(voices));
try {
  await client.audio.speech.create({ model: "tts-1", voice: "Emily", input: line });
  throw new Error("an unknown voice was taken");
} catch (error) {
  if (!(error instanceof OpenAI.BadRequestError) || !error.message.includes("Ryan")) throw error;
}
