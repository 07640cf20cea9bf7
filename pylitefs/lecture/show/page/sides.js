// A decision, side by side: what the replica has, what the primary has, = or ≠ between them, and the verdict.
// The rule: it is show/sides.py's; here it is only drawn. A sign is a word for whoever does not see it.
import { h } from "./dom.js";

/** The table for an entry that has sides. */
export function sidesTable({ replica, primary, rows, gets }) {
  return h("table", { class: "sides" },
    h("caption", { class: "offscreen" }, `What ${primary} compared, and what ${replica} gets`),
    h("tbody", null, rows.map(([left, here, sign, there, right], index) => h("tr", { class: sign === "=" ? "same" : "other" },
      h("th", { scope: "row" }, left), h("td", null, digits(here)),
      h("td", { class: "sign" }, h("span", { "aria-hidden": "true" }, sign), h("span", { class: "offscreen" }, sign === "=" ? "equals" : "differs from")),
      h("td", null, digits(there)), h("td", null, right),
      index ? null : h("td", { class: "side-verdict", rowspan: rows.length }, `${replica} gets `, h("b", null, gets))))));
}

/** A TXID, or a checksum: in full where there is room, else as on the nodes' cards. */
function digits(text) {
  if (text.length <= 9) return h("code", null, text);
  return [h("code", { class: "full" }, text), h("code", { class: "short", "data-tip": text }, `${text.slice(0, 4)}…${text.slice(-4)}`)];
}
