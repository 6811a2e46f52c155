/** The rows of a CSV text, RFC 4180: quoted fields may have separators, quotes and line breaks. */
export function parseCsv(text) {
  const source = text.replace(/^\uFEFF/, "");
  const separator = separatorOf(source);
  const rows = [];
  let row = [];
  let field = "";
  let quoted = false;
  const endRow = () => {
    row.push(field);
    if (row.length > 1 || field.trim()) rows.push(row);
    row = [];
    field = "";
  };
  for (let index = 0; index < source.length; index++) {
    const character = source[index];
    if (quoted) {
      if (character !== '"') field += character;
      else if (source[index + 1] === '"') { field += '"'; index++; }
      else quoted = false;
    } else if (character === '"' && !field) quoted = true;
    else if (character === separator) { row.push(field); field = ""; }
    else if (character === "\n") endRow();
    else if (character !== "\r") field += character;
  }
  endRow();
  return rows;
}

function separatorOf(text) {
  const [line] = text.split("\n", 1);
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
