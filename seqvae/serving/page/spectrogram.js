// What a sound is made of: time to the right, pitch upwards on the mel scale, the louder the stronger.

const SIZE = 1024;
/** Decibels below the loudest that are shown. */
const RANGE = 70;

const mel = (hertz) => 2595 * Math.log10(1 + hertz / 700);
const hertzOf = (value) => 700 * (10 ** (value / 2595) - 1);

/** In-place Fourier transform of `SIZE` complex numbers (Cooley and Tukey, radix 2). */
function transform(real, imag) {
  for (let i = 1, j = 0; i < SIZE; i += 1) {
    let bit = SIZE >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imag[i], imag[j]] = [imag[j], imag[i]];
    }
  }
  for (let length = 2; length <= SIZE; length *= 2) {
    const half = length / 2;
    for (let k = 0; k < half; k += 1) {
      const angle = (-2 * Math.PI * k) / length;
      const c = Math.cos(angle);
      const s = Math.sin(angle);
      for (let a = k; a < SIZE; a += length) {
        const b = a + half;
        const x = real[b] * c - imag[b] * s;
        const y = real[b] * s + imag[b] * c;
        real[b] = real[a] - x;
        imag[b] = imag[a] - y;
        real[a] += x;
        imag[a] += y;
      }
    }
  }
}

/**
 * Loudness from 0 to 1 of every pixel, rows from the top.
 *
 * @param {Float32Array} samples
 * @param {number} rate samples a second
 * @param {number} width pixels
 * @param {number} height pixels
 * @returns {Float32Array}
 */
export function levels(samples, rate, width, height) {
  const found = new Float32Array(width * height);
  // 23 ms at 44.1 kHz, 32 ms at 16 kHz: enough for harmonics, short enough for plosives.
  const length = Math.min(SIZE, 2 ** Math.round(Math.log2(0.03 * rate)));
  const real = new Float64Array(SIZE);
  const imag = new Float64Array(SIZE);
  const top = mel(Math.min(8000, rate / 2));
  const bins = Float64Array.from({ length: height }, (_, y) => {
    const hertz = hertzOf((top * (height - 1 - y)) / (height - 1));
    return Math.min((hertz * SIZE) / rate, SIZE / 2 - 1);
  });
  let loudest = -Infinity;
  for (let x = 0; x < width; x += 1) {
    const begin = Math.round((samples.length * (x + 0.5)) / width - length / 2);
    real.fill(0);
    imag.fill(0);
    for (let i = 0; i < length; i += 1) {
      const window = 0.5 - 0.5 * Math.cos((2 * Math.PI * (i + 0.5)) / length);
      real[i] = window * (samples[begin + i] ?? 0);
    }
    transform(real, imag);
    for (let y = 0; y < height; y += 1) {
      const bin = Math.floor(bins[y]);
      const share = bins[y] - bin;
      const low = Math.hypot(real[bin], imag[bin]);
      const high = Math.hypot(real[bin + 1], imag[bin + 1]);
      const decibels = 20 * Math.log10(low + share * (high - low) + 1e-7);
      found[y * width + x] = decibels;
      loudest = Math.max(loudest, decibels);
    }
  }
  // Silence is not made loud.
  loudest = Math.max(loudest, -40);
  return found.map((value) => Math.min(1, Math.max(0, 1 + (value - loudest) / RANGE)));
}

function colour(style, name) {
  const pen = new OffscreenCanvas(1, 1).getContext("2d");
  pen.fillStyle = style.getPropertyValue(name);
  pen.fillRect(0, 0, 1, 1);
  return pen.getImageData(0, 0, 1, 1).data;
}

/** Paint levels of the canvas's own size, in the colours of the page: from paper over accent to the loudest. */
export function paint(canvas, found) {
  const style = getComputedStyle(canvas);
  const stops = ["--quietest", "--middle", "--loudest"].map((name) => colour(style, name));
  const pen = canvas.getContext("2d");
  const picture = pen.createImageData(canvas.width, canvas.height);
  found.forEach((level, pixel) => {
    const place = 2 * level;
    const first = Math.min(1, Math.floor(place));
    const share = place - first;
    for (let part = 0; part < 3; part += 1) {
      const from = stops[first][part];
      picture.data[4 * pixel + part] = from + share * (stops[first + 1][part] - from);
    }
    picture.data[4 * pixel + 3] = 255;
  });
  pen.putImageData(picture, 0, 0);
}
