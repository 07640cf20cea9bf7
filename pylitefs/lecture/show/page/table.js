// All events as a table: real rows for screen readers and the keyboard, only those in view in the document.
// The rule: a run of like events has a row of its own, which opens and folds it as the diagram's sign does.
import { h, rem, rowsInView, minutes } from "./dom.js";
import { signOf } from "./signs.js";

export class EventTable {
  constructor(panel, folds, on) {
    this._on = on;
    this._folds = folds;
    this._rows = [];
    this._known = "";
    this._focused = 0;
    this._body = h("tbody");
    this._table = h("table", { class: "events", "aria-label": "All that happened, in order" },
      h("thead", null, h("tr", null, ["#", "time", "node", "what", "TXID", "who", "explained"].map((name) =>
        h("th", { scope: "col" }, name)))), this._body);
    this._scroller = h("div", { id: "event-rows", onscroll: () => this._paint() }, this._table);
    this._table.addEventListener("keydown", (event) => this._key(event));
    this._table.addEventListener("click", (event) => {
      const row = event.target.closest("tr[data-row]");
      if (row) this._open(Number(row.dataset.row));
    });
    panel.append(this._scroller);
  }

  show(history, at, from) {
    const moved = this._at !== at;
    this._history = history;
    this._at = at;
    this._from = from;
    this._listRows();
    this._table.setAttribute("aria-rowcount", String(this._rows.length + 1));
    if (moved) this._focused = Math.max(0, this._rowOf(at));
    this._paint();
    if (moved) {
      this._bringIntoView(this._focused);
      this._paint();
    }
  }

  /** What is a row: an entry's index, or a run. The entries of a folded run are none. */
  _listRows() {
    const history = this._history;
    const runs = this._folds.runs(history);
    const known = `${this._folds.version} ${history.length}`;
    if (known === this._known) return;
    this._known = known;
    this._rows = [];
    let next = 0;
    for (let at = 0; at < history.length; at++) {
      const run = next < runs.length && runs[next].first === at ? runs[next++] : null;
      if (run) this._rows.push(run);
      if (run && !run.open) at = run.last;
      else this._rows.push(at);
    }
  }

  /** The row that shows an entry. */
  _rowOf(at) {
    let [low, high] = [0, this._rows.length - 1];
    const begins = (row) => (typeof row === "number" ? row : row.first);
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (begins(this._rows[middle]) <= at) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Enter, or a click: go to the entry; open a run, or fold it. */
  _open(index) {
    const row = this._rows[index];
    this._focused = index;
    if (typeof row === "number") this._on.go(row);
    else this._folds.toggle(row);
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
    const count = this._rows.length;
    this._focused = Math.min(this._focused, Math.max(0, count - 1));
    const [from, to] = rowsInView(this._scroller, high, count);
    const inside = this._body.contains(document.activeElement);
    const rows = [];
    if (from > 0) rows.push(filler(from * high));
    for (let index = from; index < to; index++) {
      const row = this._rows[index];
      rows.push(typeof row === "number" ? this._row(row, index, high) : this._runRow(row, index, high));
    }
    if (to < count) rows.push(filler((count - to) * high));
    this._body.replaceChildren(...rows);
    if (inside) this._focusRow();
  }

  _runRow(run, row, high) {
    const { entries } = this._history;
    const [begin, end] = [entries[run.first], entries[run.last]];
    const [, colour, letter] = signOf(begin);
    const classes = ["run"];
    if (this._at >= run.first && this._at <= run.last && !run.open) classes.push("here");
    else if (run.first >= this._from && run.first <= this._at) classes.push("now");
    else if (run.first > this._at) classes.push("later");
    return h("tr", { class: classes.join(" "), "data-row": row, "aria-rowindex": row + 2, "aria-expanded": String(run.open),
      tabindex: row === this._focused ? "0" : "-1", style: { height: `${high}px` } },
    h("td", null, `${run.first} …`), h("td", null, this._time(begin)), h("td", null, run.node),
    h("td", { class: "what" }, h("span", { class: "dot", style: { background: `var(${colour})` }, "aria-hidden": "true" }, letter),
      h("span", { class: "opens", "aria-hidden": "true" }, run.open ? "▾ " : "▸ "), run.label),
    h("td", null, ""), h("td", null, begin.who), h("td", { class: "text" }, run.open ? "" : `${begin.text} … ${end.text}`));
  }

  _time(entry) {
    return `${minutes(entry.t_ms)}.${String(Math.floor(entry.t_ms % 1000)).padStart(3, "0")}`;
  }

  _row(index, row, high) {
    const entry = this._history.entries[index];
    const [, colour, letter] = signOf(entry);
    const classes = [`kind-${entry.kind}`];
    if (index === this._at) classes.push("here");
    else if (index >= this._from && index < this._at) classes.push("now");
    else if (index > this._at) classes.push("later");
    const what = h("td", { class: "what" },
      entry.kind === "event" ? h("span", { class: "dot", style: { background: `var(${colour})` }, "aria-hidden": "true" }, letter) : null,
      entry.name || entry.kind);
    return h("tr", { class: classes.join(" "), "data-at": index, "data-row": row, "aria-rowindex": row + 2,
      "aria-current": index === this._at ? "step" : null, tabindex: row === this._focused ? "0" : "-1",
      style: { height: `${high}px` } },
    h("td", null, String(index)), h("td", null, this._time(entry)),
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
      this._open(this._focused);
    } else if (event.key in moves) {
      event.preventDefault();
      event.stopPropagation();
      this._focused = Math.min(Math.max(this._focused + moves[event.key], 0), this._rows.length - 1);
      this._bringIntoView(this._focused);
      this._paint();
      this._focusRow();
    }
  }

  _focusRow() {
    const row = this._body.querySelector(`tr[data-row="${this._focused}"]`);
    if (row) row.focus({ preventScroll: true });
  }
}

function filler(height) {
  return h("tr", { class: "filler", "aria-hidden": "true", style: { height: `${height}px` } }, h("td", { colspan: "7" }));
}
