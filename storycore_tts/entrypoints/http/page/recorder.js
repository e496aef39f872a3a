// Records the microphone as samples. MediaRecorder would produce lossy webm.

/** Start recording; `onBlock` is called with each block of samples and the elapsed seconds. */
export async function record(onBlock) {
  if (!navigator.mediaDevices) {
    throw {
      title: "Microphone not available",
      detail: "Browsers allow microphone access only for https pages and localhost.",
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
    release(); // otherwise the microphone stays in use
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
    /** Stop recording and return the recording. */
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
    // No processing: it improves calls but degrades clones.
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
      title: refused ? "Microphone access denied" : "No microphone found",
      detail: error.message,
      hint: refused
        ? "Allow microphone access for this page in the browser settings, or choose a file."
        : "Connect a microphone, or choose a file.",
    };
  }
}
