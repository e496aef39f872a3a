// Draws audio as bars.

const BAR = 3;
const GAP = 2;
const QUIETEST = 0.06; // of the height, so that silence is visible as a dotted line

/** The peaks of `count` sections, scaled so that the highest is 1. */
export function peaks(samples, count) {
  const size = samples.length / count;
  const found = Float32Array.from({ length: count }, (_, i) => {
    let peak = 0;
    const end = Math.min(
      samples.length,
      Math.max(Math.floor((i + 1) * size), Math.floor(i * size) + 1),
    );
    for (let at = Math.floor(i * size); at < end; at++)
      peak = Math.max(peak, Math.abs(samples[at]));
    return peak;
  });
  const loudest = Math.max(...found, 1e-3);
  return found.map((peak) => peak / loudest);
}

/** The number of bars that fit. */
export const bars = (canvas) => Math.max(1, Math.floor((canvas.clientWidth + GAP) / (BAR + GAP)));

/** Draw bars in the text color of the canvas; those after `played` (0..1) are paler. */
export function draw(canvas, heights, played = 1) {
  const scale = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.fillStyle = getComputedStyle(canvas).color;
  heights.forEach((peak, i) => {
    const x = i * (BAR + GAP);
    const tall = Math.max(QUIETEST, peak) * height;
    context.globalAlpha = x + BAR / 2 <= played * width ? 1 : 0.32;
    context.beginPath();
    context.roundRect(x, (height - tall) / 2, BAR, tall, BAR / 2);
    context.fill();
  });
}
