/** The rows of a CSV text, each a list of its fields. */
export const parseCsv = (text) => csvLines(text).map(({ fields }) => fields);

/**
 * The rows of a CSV text, RFC 4180: {fields, source}. Quoted fields may have separators, quotes and line breaks; empty lines
 * are no rows. Throws an Error for quotes that are not closed.
 */
export function csvLines(text) {
  const source = text.replace(/^\uFEFF/, "");
  const separator = separatorOf(source);
  const rows = [];
  let start = 0;
  let fields = [];
  let field = "";
  let quoted = false;
  const endRow = (end) => {
    const line = source.slice(start, end).replace(/\r$/, "");
    if (line) rows.push({ fields: [...fields, field], source: line });
    start = end + 1;
    fields = [];
    field = "";
  };
  for (let index = 0; index < source.length; index++) {
    const character = source[index];
    if (quoted) {
      if (character !== '"') field += character;
      else if (source[index + 1] === '"') { field += '"'; index++; }
      else quoted = false;
    } else if (character === '"' && !field) quoted = true;
    else if (character === separator) { fields.push(field); field = ""; }
    else if (character === "\n") endRow(index);
    else if (character !== "\r") field += character;
  }
  if (quoted) throw new Error(`A quotation mark in line ${source.slice(0, start).split("\n").length} is not closed.`);
  endRow(source.length);
  return rows;
}

/** The sign that the first line has most of, outside of quotes. */
function separatorOf(text) {
  const [line] = text.replace(/"[^"]*"/g, "").split("\n", 1);
  return [",", ";", "\t"].map((sign) => [line.split(sign).length, sign]).sort((a, b) => b[0] - a[0])[0][1];
}

const FORMULA = /^[=+\-@\t\r]/;

/** CSV of rows. A text that a spreadsheet would take for a formula gets a quote before it. */
export function writeCsv(rows) {
  const cell = (value) => {
    const text = typeof value === "string" && FORMULA.test(value) ? `'${value}` : String(value ?? "");
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => row.map(cell).join(",")).join("\r\n");
}
