const RATE = 16000;

/** Decodes a file to one channel of 16,000 samples per second. */
export async function decodeAudio(file) {
  let buffer;
  try {
    buffer = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new Error("This browser cannot decode the file. Choose a wav, flac, ogg or mp3 file.");
  }
  const samples = new Float32Array(buffer.length);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++)
    buffer.getChannelData(channel).forEach((value, index) => (samples[index] += value / buffer.numberOfChannels));
  return { samples, seconds: buffer.duration };
}

/** Converts any audio file that the browser can decode to a 16-bit wav file. */
export async function toWav(file) {
  const { samples } = await decodeAudio(file);
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const writeText = (offset, text) => [...text].forEach((character, index) => view.setUint8(offset + index, character.charCodeAt(0)));
  writeText(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  writeText(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, RATE, true);
  view.setUint32(28, 2 * RATE, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  writeText(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, index) => view.setInt16(44 + 2 * index, 32767 * Math.max(-1, Math.min(1, value)), true));
  return new File([view], `${file.name.replace(/\.\w+$/, "")}.wav`, { type: "audio/wav" });
}

/** A drawing of the samples, in the current text colour. */
export function waveform(samples, columns = 240) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${columns} 2`);
  svg.setAttribute("preserveAspectRatio", "none");
  const step = Math.max(1, Math.floor(samples.length / columns));
  const peaks = Array.from({ length: columns }, (_, column) => {
    let peak = 0;
    for (let index = column * step; index < Math.min(samples.length, (column + 1) * step); index++) peak = Math.max(peak, Math.abs(samples[index]));
    return peak;
  });
  const loudest = Math.max(...peaks) || 1;
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", peaks.map((peak, column) => { const height = Math.max(0.02, (0.95 * peak) / loudest); return `M${column} ${1 - height}h.7v${2 * height}h-.7z`; }).join(""));
  svg.append(path);
  return svg;
}
