// WAV files of 16 bits.

const HEADER = 44;

/**
 * @param {Uint8Array} bytes of a WAV file with 16 bits a sample
 * @returns {{samples: Float32Array, rate: number}} one channel, the mean of those there are
 */
export function readWav(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = (at) => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (word(0) !== "RIFF" || word(8) !== "WAVE") throw new Error("this is not a WAV file");
  let channels = 0;
  let rate = 0;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const size = view.getUint32(at + 4, true);
    if (word(at) === "fmt ") {
      channels = view.getUint16(at + 10, true);
      rate = view.getUint32(at + 12, true);
      if (view.getUint16(at + 22, true) !== 16) throw new Error("the WAV file must have 16 bits");
    } else if (word(at) === "data") {
      const samples = new Float32Array(Math.floor(size / 2 / channels));
      for (let i = 0; i < samples.length * channels; i += 1) {
        samples[Math.floor(i / channels)] += view.getInt16(at + 8 + 2 * i, true) / 32768 / channels;
      }
      return { samples, rate };
    }
    at += 8 + size + (size % 2);
  }
  throw new Error("the WAV file has no samples");
}

/** @returns {Uint8Array} a WAV file of one channel */
export function writeWav(samples, rate) {
  const bytes = new Uint8Array(HEADER + 2 * samples.length);
  const view = new DataView(bytes.buffer);
  const words = { 0: "RIFF", 8: "WAVE", 12: "fmt ", 36: "data" };
  for (const [at, word] of Object.entries(words)) bytes.set(new TextEncoder().encode(word), at);
  view.setUint32(4, bytes.length - 8, true);
  view.setUint32(16, 16, true);
  // Integers, one channel, samples and bytes a second, bytes and bits a sample.
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((x, i) => view.setInt16(HEADER + 2 * i, Math.round(32767 * x), true));
  return bytes;
}
