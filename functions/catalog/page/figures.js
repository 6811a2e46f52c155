const SHARES = /^(accuracy|F1|precision|recall|WER|CER|exact|AP\d*|MOTA|IDF1)\b/;
const LOWER = /^(WER|CER|nats|perplexity|largest)/;

/** Bytes as people say them. */
export const size = (bytes) => (bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

export const ms = (value) => (value < 10 ? `${value.toFixed(1)} ms` : value < 10000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`);

/** A metric's value: shares of one as percent, all else with three figures. */
export function metric(name, value) {
  if (SHARES.test(name)) return `${(100 * value).toFixed(1)} %`;
  if (name === "bytes") return size(value);
  if (name === "milliseconds") return ms(value);
  return String(Number(value.toPrecision(3)));
}

export const better = (name) => (LOWER.test(name) || name === "bytes" || name === "milliseconds" ? "lower is better" : "higher is better");

/** The metric that a model is judged by: the one that its manifest names, else the first. */
export function main(metrics, named) {
  const name = named && named in metrics ? named : Object.keys(metrics)[0];
  return name === undefined ? null : { name, value: metric(name, metrics[name]), better: better(name) };
}
