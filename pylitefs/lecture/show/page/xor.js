// The checksum's XOR written out in hex digits, and one column of it in bits.
import { fill, h } from "./dom.js";
import { lastAtMost } from "./history.js";

const FLAG = 1n << 63n;

/** The index of the newest entry up to `at` that has an XOR; -1 if there is none. */
export function newestXor(history, at) {
  const found = lastAtMost(history.xors, at);
  return found < 0 ? -1 : history.xors[found];
}

/** Draw the XOR of the newest entry that has one. */
export function drawXor(panel, history, at) {
  const index = newestXor(history, at);
  if (index < 0) {
    fill(panel, h("p", { class: "empty" }, "No transaction yet. The rolling checksum of a database is the XOR of " +
      "one 64-bit checksum for each page, so a commit takes its old pages out and puts its new ones in."));
    return;
  }
  const entry = history.entries[index];
  const terms = entry.xor;
  const factors = terms.slice(0, -1);
  const [label, value] = terms[terms.length - 1];
  const sum = factors.reduce((all, [, digits]) => all ^ BigInt(`0x${digits}`), 0n);
  const wanted = BigInt(`0x${value}`);
  const bits = h("div", { id: "xor-bits", "aria-live": "polite" },
    "Point at a column, or move with ← and →, to see its bits.");
  const table = h("table", { class: "xor", tabindex: "0", "aria-label": "The checksum, digit by digit" },
    h("tbody", null,
      factors.map(([name, digits], row) => xorRow(name, digits, row ? "⊕" : "", "")),
      xorRow(label, value, "=", "result")));
  const choose = (column) => {
    table.dataset.column = String(column);
    for (const cell of table.querySelectorAll("td[data-column]")) {
      cell.classList.toggle("chosen", Number(cell.dataset.column) === column);
    }
    fill(bits, columnBits(factors, value, column));
  };
  table.addEventListener("mouseover", (event) => {
    const cell = event.target.closest("td[data-column]");
    if (cell) choose(Number(cell.dataset.column));
  });
  table.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation();
    choose((Number(table.dataset.column || (move > 0 ? -1 : 16)) + move + 16) % 16);
  });
  const right = sum === wanted || (sum | FLAG) === wanted;
  const words = sum === wanted ? "✓ the lines above, XORed, give the last one"
    : right ? "✓ they give the last one; its top bit is a flag and always set"
      : "✗ they do not give the last one";
  fill(panel,
    h("p", { class: "xor-head" }, `${entry.node} ${entry.database}`, entry.txid ? `, transaction ${entry.txid}` : "",
      ": out with each changed page's old checksum, in with its new one."),
    table, h("p", { class: right ? "xor-good" : "xor-bad" }, words), bits);
}

function xorRow(name, digits, sign, kind) {
  return h("tr", { class: kind },
    h("th", { scope: "row" }, name),
    h("td", { class: "sign" }, sign),
    [...digits].map((digit, column) =>
      h("td", { "data-column": column, class: column % 4 === 3 && column < 15 ? "gap" : "" }, digit)));
}

function columnBits(factors, value, column) {
  const nibble = (digits) => parseInt(digits[column], 16);
  const binary = (number) => number.toString(2).padStart(4, "0");
  const parts = factors.map(([, digits]) => nibble(digits));
  const sum = parts.reduce((all, one) => all ^ one, 0);
  const flag = sum !== nibble(value) ? ", and the flag's bit" : "";
  return [`digit ${column + 1}: `, h("code", null,
    `${parts.map(binary).join(" ⊕ ")} = ${binary(nibble(value))}`), flag];
}
