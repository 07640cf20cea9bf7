// The rows that a transaction changed, from its pages: table, key, and of each column before and after. The
// rule: what is shown belongs to the step; a step without a transaction says so. Colour never stands alone.
import { fill, h } from "./dom.js";

const ROW_SIGNS = { added: "+", changed: "~", removed: "\u2212" };
const LONGEST_VALUE = 40;
/** What happens to a transaction that there is; before them one is only being written. */
const OF_A_TRANSACTION = /^(ltx|pos|stream|page\.apply|catchup|halt|tx\.forward)/;

/** The index of the entry with the rows of this step's transaction; -1 if the step has none. */
export function transactionAt(history, at, from) {
  if (at < 0) return -1;
  const told = history.entries[history.told(at)];
  const known = history.rows.filter((index) => index <= at).reverse();
  const of = (one, since) => {
    const same = known.filter((index) => index >= since && history.entries[index].database === one.database && history.entries[index].txid === one.txid);
    return same.find((index) => history.entries[index].node === told.node) ?? same[0] ?? -1;
  };
  const here = told.txid && OF_A_TRANSACTION.test(told.name) ? of(told, 0) : -1;
  if (here >= 0) return here;
  return known.length && known[0] >= from ? of(history.entries[known[0]], from) : -1;
}

/** Draw them; `go` leads to an entry. */
export function drawRows(panel, history, at, from, go) {
  const index = transactionAt(history, at, from);
  if (index < 0) {
    const before = history.rows.filter((one) => one <= at).pop();
    fill(panel, h("p", { class: "empty" }, "This step has no transaction: none has its LTX file here. ",
      before === undefined ? "The rows that one changes show here, told from its pages." : ["The one before it: ",
        h("button", { type: "button", "data-focus": "rows-before", onclick: () => go(before) }, transactionName(history.entries[before]))]));
    return;
  }
  const entry = history.entries[index];
  const { rows } = entry;
  fill(panel, h("p", { class: "rows-head" }, h("b", null, transactionName(entry)), `: ${rowSummary(rows)}`),
    (rows.told || []).map(([how, text]) => h("p", { class: `row-told row-${how}` }, rowSign(how), rowValue(text, 3 * LONGEST_VALUE))),
    (rows.tables || []).length ? rowTable(rows.tables) : null,
    (rows.pages || []).length ? h("p", { class: "note rows-pages" }, "Its pages: ", rows.pages.map(pagesOf).join("; ")) : null);
}

function transactionName(entry) {
  return `transaction ${entry.rows.txid} of ${entry.database} on ${entry.node}`;
}

function rowSummary(rows) {
  if (rows.unknown) return `which rows it changed is not known: ${rows.unknown}.`;
  if (rows.snapshot) return "a snapshot, the whole database as it was after it. Which rows it changed is not in there.";
  const all = rows.tables.flatMap((one) => one.rows.map(([how]) => how));
  const counts = ["added", "changed", "removed"].map((how) => [all.filter((one) => one === how).length, how]);
  const more = rows.tables.reduce((sum, one) => sum + one.more, 0);
  const words = counts.filter(([count]) => count).map(([count, how]) => `${count} ${count === 1 ? "row" : "rows"} ${how}`);
  if (more) words.push(`${more.toLocaleString("en")} more`);
  return words.length ? `${words.join(", ")}.` : "no row differs.";
}

function rowSign(how) {
  return h("span", { class: "row-sign" }, ROW_SIGNS[how], h("span", { class: "row-word" }, ` ${how} `));
}

function rowTable(tables) {
  return h("table", { class: "rows" },
    h("thead", null, h("tr", null, ["", "table", "key", "column", "before", "", "after"].map((name) =>
      h("th", { scope: "col" }, name)))),
    tables.flatMap((one) => [...one.rows.map((row) => rowBody(one.table, row)),
      one.more ? h("tbody", null, h("tr", null, h("td", { colspan: 7, class: "note" },
        `\u2026 and ${one.more.toLocaleString("en")} more rows of ${one.table}`))) : null]));
}

function rowBody(table, [how, key, cells]) {
  const lines = cells.length ? cells : [["", null, null]];
  return h("tbody", { class: `row-${how}` }, lines.map(([column, before, after], number) => h("tr", null,
    number ? null : [h("td", { rowspan: lines.length }, rowSign(how)), h("td", { class: "row-name", rowspan: lines.length }, rowValue(table)),
      h("th", { scope: "rowgroup", rowspan: lines.length }, rowValue(key))],
    h("td", { class: "row-name" }, rowValue(column)), h("td", { class: "row-before" }, rowValue(before)),
    h("td", { class: "row-arrow", "aria-hidden": "true" }, "\u2192"), h("td", { class: "row-after" }, rowValue(after)))));
}

/** A value; a long one is cut, and its tip, also by the keyboard, has all of it. */
function rowValue(text, longest = LONGEST_VALUE) {
  if (text === null || text === undefined) return h("span", { class: "note" }, "\u2013");
  if (text.length <= longest) return h("span", null, text);
  return h("span", { class: "row-cut", tabindex: "0", "data-tip": text }, `${text.slice(0, longest - 1)}\u2026`);
}

function pagesOf([name, ...pgnos]) {
  return `${pgnos.join(", ")} (${name})`;
}
