// Sounds as 16-bit WAV files, the one format every reader knows.

const HEADER = 44;

/** Decode any sound that the browser knows into one channel. */
export async function decode(blob, rate) {
  const context = new OfflineAudioContext(1, 1, rate);
  let sound;
  try {
    // Decoding resamples to the context's rate.
    sound = await context.decodeAudioData(await blob.arrayBuffer());
  } catch {
    throw new Error("This file is not a sound that the browser can read.");
  }
  const mono = new Float32Array(sound.length);
  for (let channel = 0; channel < sound.numberOfChannels; channel += 1) {
    const data = sound.getChannelData(channel);
    for (let i = 0; i < mono.length; i += 1) mono[i] += data[i] / sound.numberOfChannels;
  }
  return mono;
}

/**
 * @param {Float32Array} samples one channel in [-1, 1]
 * @param {number} rate samples a second
 * @returns {Blob}
 */
export function wav(samples, rate) {
  const bytes = new DataView(new ArrayBuffer(HEADER + 2 * samples.length));
  const ascii = (at, text) => [...text].forEach((c, i) => bytes.setUint8(at + i, c.charCodeAt(0)));
  ascii(0, "RIFF");
  bytes.setUint32(4, HEADER - 8 + 2 * samples.length, true);
  ascii(8, "WAVEfmt ");
  bytes.setUint32(16, 16, true);
  bytes.setUint16(20, 1, true); // PCM
  bytes.setUint16(22, 1, true); // channels
  bytes.setUint32(24, rate, true);
  bytes.setUint32(28, 2 * rate, true); // bytes a second
  bytes.setUint16(32, 2, true); // bytes a frame
  bytes.setUint16(34, 16, true); // bits a sample
  ascii(36, "data");
  bytes.setUint32(40, 2 * samples.length, true);
  for (let i = 0; i < samples.length; i += 1) {
    const clipped = Math.min(1, Math.max(-1, samples[i]));
    bytes.setInt16(HEADER + 2 * i, Math.round(clipped * 32767), true);
  }
  return new Blob([bytes], { type: "audio/wav" });
}

/** Draw the outline of a sound, in the colour of the canvas's text. */
export function draw(canvas, samples) {
  const pen = canvas.getContext("2d");
  const { width, height } = canvas;
  pen.clearRect(0, 0, width, height);
  pen.fillStyle = getComputedStyle(canvas).color;
  const bars = Math.floor(width / 4);
  const each = Math.max(1, Math.floor(samples.length / bars));
  for (let bar = 0; bar < bars; bar += 1) {
    let peak = 0;
    const stop = Math.min(samples.length, (bar + 1) * each);
    for (let i = bar * each; i < stop; i += 1) peak = Math.max(peak, Math.abs(samples[i]));
    const tall = Math.max(2, peak * height);
    pen.fillRect(4 * bar, (height - tall) / 2, 2, tall);
  }
}
