const FRACTIONS = /^(accuracy|F1|precision|recall|WER|CER|exact|AP\d*|MOTA|IDF1)\b/;
/** What says nothing about how well a model does its task. */
const TECHNICAL = /^(largest|bytes|milliseconds|seconds|size)|\(test\)|, (low|high)$/;
const LOWER_IS_BETTER = /^(WER|CER|MAE|RMSE|nats|perplexity|largest|identity switches|false positives|misses)/;

/** Formats a number of bytes. */
export const size = (bytes) => (bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

/** Formats milliseconds. */
export const ms = (value) => (value < 10 ? `${value.toFixed(1)} ms` : value < 10000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`);

/** Formats the value of a metric: fractions as percent, others with three significant digits. */
export function metricValue(name, value) {
  if (FRACTIONS.test(name)) return `${(100 * value).toFixed(1)} %`;
  if (name === "bytes") return size(value);
  if (name === "milliseconds") return ms(value);
  return String(Number(value.toPrecision(3)));
}

export const direction = (name) => (LOWER_IS_BETTER.test(name) || name === "bytes" || name === "milliseconds" ? "lower is better" : "higher is better");

/** The main metric of a model: the one that its manifest names, else the first that is not technical; null: none. */
export function mainMetric(metrics, preferred) {
  const name = preferred && preferred in metrics ? preferred : Object.keys(metrics).find((other) => !TECHNICAL.test(other));
  return name === undefined ? null : { name, value: metricValue(name, metrics[name]), direction: direction(name) };
}
