// All events as a table: real rows for screen readers and the keyboard, only those in view in the document.
import { h, rem, rowsInView, minutes } from "./dom.js";
import { signOf } from "./diagram.js";

export class EventTable {
  constructor(panel, on) {
    this._on = on;
    this._focused = 0;
    this._body = h("tbody");
    this._table = h("table", { class: "events", "aria-label": "All that happened, in order" },
      h("thead", null, h("tr", null, ["#", "time", "node", "what", "TXID", "who", "explained"].map((name) =>
        h("th", { scope: "col" }, name)))), this._body);
    this._scroller = h("div", { id: "event-rows", onscroll: () => this._paint() }, this._table);
    this._table.addEventListener("keydown", (event) => this._key(event));
    this._table.addEventListener("click", (event) => {
      const row = event.target.closest("tr[data-at]");
      if (row) on.go(Number(row.dataset.at));
    });
    panel.append(this._scroller);
  }

  show(history, at, from) {
    const moved = this._at !== at;
    this._history = history;
    this._at = at;
    this._from = from;
    this._table.setAttribute("aria-rowcount", String(history.length + 1));
    if (moved) this._focused = Math.max(0, at);
    this._paint();
    if (moved) {
      this._bringIntoView(this._focused);
      this._paint();
    }
  }

  _rowHeight() {
    return Math.round(rem() * 1.75);
  }

  _bringIntoView(index) {
    const y = index * this._rowHeight();
    const view = this._scroller.clientHeight - this._rowHeight() * 1.5;
    if (y < this._scroller.scrollTop || y > this._scroller.scrollTop + view - this._rowHeight()) {
      this._scroller.scrollTop = Math.max(0, y - view * 0.6);
    }
  }

  _paint() {
    if (!this._history || !this._scroller.clientHeight) return;
    const high = this._rowHeight();
    const count = this._history.length;
    const [from, to] = rowsInView(this._scroller, high, count);
    const inside = this._body.contains(document.activeElement);
    const rows = [];
    if (from > 0) rows.push(filler(from * high));
    for (let index = from; index < to; index++) rows.push(this._row(index, high));
    if (to < count) rows.push(filler((count - to) * high));
    this._body.replaceChildren(...rows);
    if (inside) this._focusRow();
  }

  _row(index, high) {
    const entry = this._history.entries[index];
    const [, colour, letter] = signOf(entry);
    const classes = [`kind-${entry.kind}`];
    if (index === this._at) classes.push("here");
    else if (index >= this._from && index < this._at) classes.push("now");
    else if (index > this._at) classes.push("later");
    const what = h("td", { class: "what" },
      entry.kind === "event" ? h("span", { class: "dot", style: { background: `var(${colour})` }, "aria-hidden": "true" }, letter) : null,
      entry.name || entry.kind);
    return h("tr", { class: classes.join(" "), "data-at": index, "aria-rowindex": index + 2,
      "aria-current": index === this._at ? "step" : null, tabindex: index === this._focused ? "0" : "-1",
      style: { height: `${high}px` } },
    h("td", null, String(index)), h("td", null, `${minutes(entry.t_ms)}.${String(Math.floor(entry.t_ms % 1000)).padStart(3, "0")}`),
    h("td", null, entry.node), what, h("td", null, entry.txid ? String(entry.txid) : ""),
    h("td", null, entry.who), h("td", { class: "text" }, entry.text));
  }

  _key(event) {
    const page = Math.max(1, Math.floor(this._scroller.clientHeight / this._rowHeight()) - 2);
    const moves = { ArrowDown: 1, ArrowUp: -1, Home: -1e9, End: 1e9 };
    if (event.shiftKey && event.key in moves) moves[event.key] *= page;
    if (event.key === "Enter") {
      event.preventDefault();
      event.stopPropagation();
      this._on.go(this._focused);
    } else if (event.key in moves) {
      event.preventDefault();
      event.stopPropagation();
      this._focused = Math.min(Math.max(this._focused + moves[event.key], 0), this._history.length - 1);
      this._bringIntoView(this._focused);
      this._paint();
      this._focusRow();
    }
  }

  _focusRow() {
    const row = this._body.querySelector(`tr[data-at="${this._focused}"]`);
    if (row) row.focus({ preventScroll: true });
  }
}

function filler(height) {
  return h("tr", { class: "filler", "aria-hidden": "true", style: { height: `${height}px` } }, h("td", { colspan: "7" }));
}
