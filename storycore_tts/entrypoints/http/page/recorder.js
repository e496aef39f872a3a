// The microphone as samples. MediaRecorder would give webm, which is lossy.

/** Start to record; `onBlock` hears each block of samples and the seconds so far. */
export async function record(onBlock) {
  if (!navigator.mediaDevices) {
    throw {
      title: "No microphone here",
      detail: "Browsers lend it only to pages from https or from this machine itself.",
      hint: "Choose a file instead.",
    };
  }
  const stream = await microphone();
  const context = new AudioContext();
  const blocks = [];
  let length = 0;
  let tap;
  try {
    await context.audioWorklet.addModule(new URL("recorder-worklet.js", import.meta.url));
    tap = new AudioWorkletNode(context, "tap", { numberOfOutputs: 0 });
    context.createMediaStreamSource(stream).connect(tap);
  } catch (error) {
    release(); // or the microphone's light stays on
    throw error;
  }
  tap.port.onmessage = ({ data }) => {
    blocks.push(data);
    length += data.length;
    onBlock(data, length / context.sampleRate);
  };

  function release() {
    stream.getTracks().forEach((track) => track.stop());
    return context.close();
  }

  return {
    /** End the recording, and return it. */
    async stop() {
      tap.port.onmessage = null;
      await release();
      const samples = new Float32Array(length);
      let at = 0;
      for (const block of blocks) {
        samples.set(block, at);
        at += block.length;
      }
      return { samples, sampleRate: context.sampleRate };
    },
  };
}

async function microphone() {
  try {
    // A voice as it is: what makes a call clearer makes a clone duller.
    return await navigator.mediaDevices.getUserMedia({
      audio: {
        channelCount: 1,
        echoCancellation: false,
        noiseSuppression: false,
        autoGainControl: false,
      },
    });
  } catch (error) {
    const refused = error.name === "NotAllowedError";
    throw {
      title: refused ? "The microphone was refused" : "There is no microphone to record from",
      detail: error.message,
      hint: refused
        ? "Allow it in the browser's settings for this page, or choose a file."
        : "Connect one, or choose a file.",
    };
  }
}
