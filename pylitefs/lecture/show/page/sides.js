// A decision, side by side: what the replica has, what the primary has, = or ≠ between them, and the verdict.
// The rule: it is show/sides.py's; here it is only drawn. A sign is a word for whoever does not see it.
import { h } from "./dom.js";

/** The table for an entry that has sides. */
export function sidesTable({ replica, primary, rows, gets }) {
  return h("table", { class: "sides" },
    h("caption", { class: "offscreen" }, `What ${primary} compared, and what ${replica} gets`),
    h("tbody", null, rows.map(([left, here, sign, there, right], index) => h("tr", { class: sign === "=" ? "same" : "other" },
      h("th", { scope: "row" }, left), h("td", null, h("code", null, here)),
      h("td", { class: "sign" }, h("span", { "aria-hidden": "true" }, sign), h("span", { class: "offscreen" }, sign === "=" ? "equals" : "differs from")),
      h("td", null, h("code", null, there)), h("td", null, right),
      index ? null : h("td", { class: "verdict", rowspan: rows.length }, `${replica} gets `, h("b", null, gets))))));
}
