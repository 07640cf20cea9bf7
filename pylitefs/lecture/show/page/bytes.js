// The byte inspector: a file or frame at this moment, in hex, every field named, explained and coloured,
// changed bytes marked. The rule: rows in view only are in the document, whatever the dump's size;
// every byte can be reached and is explained without a mouse.
import { fill, h, keepInViewOf, rem, rowsInView } from "./dom.js";
import { lastAtMost } from "./history.js";

const BYTES_A_ROW = 16;
const WHERE_NARROW = 8;
/** Narrower than so many rem, sixteen bytes and the fields do not stand beside each other. */
const NARROW_REM = 45.8;
/** How high a row of bytes is. */
export const ROW_REM = 1.42;
const FEWEST_ZERO_ROWS = 3;
const MOST_FIELDS = 400;

/** The kinds of fields: their letters, beside their colours (style.css, `.k-…`). */
export const KIND_LETTERS = {
  magic: "M", size: "Z", page: "P", count: "N", txid: "T", checksum: "X", salt: "S", flag: "F",
  time: "t", lock: "L", content: "·", unused: "–", field: "f",
};

/** A dump ready to be shown: bytes, rows, and which part each byte belongs to. */
export class PreparedDump {
  constructor(dump, open, across) {
    this.dump = dump;
    this.across = across;
    this.bytes = Uint8Array.from(atob(dump.data), (c) => c.charCodeAt(0));
    this.end = dump.base + this.bytes.length;
    this.parts = dump.parts
      .map(([offset, length, name, value, meaning, kind]) => ({ offset, length, name, value, meaning, kind }))
      .sort((a, b) => a.offset - b.offset || b.length - a.length);
    this._owner = new Int32Array(this.bytes.length).fill(-1);
    this.parts.forEach((part, index) => {
      const start = Math.max(0, part.offset - dump.base);
      this._owner.fill(index, start, Math.max(start, part.offset - dump.base + part.length));
    });
    this.changed = new Set();
    // Where nearly all is new, marks would say nothing.
    const marked = dump.changed.reduce((all, [, length]) => all + length, 0);
    if (marked < this.bytes.length * 0.9) {
      for (const [offset, length] of dump.changed) for (let i = 0; i < length; i++) this.changed.add(offset + i);
    } else this.allNew = true;
    this.rows = this._makeRows(open);
  }

  /** The index of the part that a byte belongs to (the innermost), or -1. */
  partAt(offset) {
    return this._owner[offset - this.dump.base] ?? -1;
  }

  /** Rows of 16 bytes (8 where it is narrow); runs of zeros that say nothing are one row, unless `open` has their start. */
  _makeRows(open) {
    const rows = [];
    const first = this.dump.base - (this.dump.base % this.across);
    let zeros = [];
    const flush = () => {
      if (zeros.length >= FEWEST_ZERO_ROWS && !open.has(zeros[0])) {
        rows.push({ start: zeros[0], folded: zeros.length * this.across });
      } else zeros.forEach((start) => rows.push({ start, folded: 0 }));
      zeros = [];
    };
    for (let start = first; start < this.end; start += this.across) {
      if (this._isDull(start)) zeros.push(start);
      else {
        flush();
        rows.push({ start, folded: 0 });
      }
    }
    flush();
    return rows;
  }

  _isDull(start) {
    if (start < this.dump.base || start + this.across > this.end) return false;
    const part = this.partAt(start);
    if (part !== this.partAt(start + this.across - 1)) return false;
    if (part >= 0 && !["content", "unused"].includes(this.parts[part].kind)) return false;
    for (let offset = start; offset < start + this.across; offset++) {
      if (this.bytes[offset - this.dump.base] !== 0 || this.changed.has(offset)) return false;
    }
    return true;
  }

  rowOf(offset) {
    return Math.max(0, lastAtMost(this.rows.map((row) => row.start), offset));
  }
}

export class ByteInspector {
  constructor(panel) {
    this.key = null;
    this.follows = true;
    this._open = new Set();
    this._shown = null;
    this._offset = 0;
    this._build(panel);
  }

  _build(panel) {
    this._panel = panel;
    this._choice = h("select", { id: "dump-choice", "aria-label": "File or frame",
      onchange: (event) => this._choose(event.target.value) });
    this._note = h("span", { class: "note" });
    this._rows = h("div", { class: "hex-rows" });
    this._hex = h("div", { id: "hex", tabindex: "0", role: "application",
      "aria-label": "Bytes: arrows move by byte and row, [ and ] by field, c to the next change",
      onscroll: () => this._paint(), onkeydown: (event) => this._key(event) }, this._rows);
    this._hex.addEventListener("mouseover", (event) => this._point(event, false));
    this._hex.addEventListener("click", (event) => this._point(event, true));
    this._fields = h("ol", { id: "fields", "aria-label": "Fields" });
    this._fields.addEventListener("keydown", (event) => this._fieldKey(event));
    this._explain = h("div", { id: "explain", "aria-live": "polite" });
    panel.append(
      h("div", { class: "bytes-head" }, this._choice, this._note,
        h("span", { class: "changed-key" }, h("span", { class: "byte changed" }, "2a"), " changed")),
      h("div", { class: "bytes-body" }, this._hex, this._fields),
      this._explain);
  }

  /** Show what the history has after entry `at`: what is chosen, or the most telling of the stretch. */
  show(history, at, from) {
    this._history = history;
    this._at = at;
    const known = history.dumpsAt(at);
    if (!known.length) {
      this._shown = null;
      fill(this._choice, h("option", null, "nothing written yet"));
      fill(this._fields);
      fill(this._rows);
      fill(this._explain, "The bytes of the journal, the WAL, LTX files and frames show here once there are some.");
      this._rows.style.height = "0px";
      this._note.textContent = "";
      return;
    }
    const told = this.follows ? tellingDump(history, at, from) : null;
    if (told) this.key = told;
    if (!known.some((one) => one.key === this.key)) this.key = known[0].key;
    fill(this._choice, known.map((one) => h("option", { value: one.key, selected: one.key === this.key },
      `${history.dumps.get(one.id).title}${one.at >= from ? "  •" : ""}`)));
    const id = known.find((one) => one.key === this.key).id;
    if (!this._shown || this._shown.dump.id !== id) this._open.clear();
    this._prepare(history.dumps.get(id));
  }

  /** Show one dump by its key, as when a frame on its way is clicked. */
  showKey(key) {
    this.key = key;
    this.follows = false;
    this.show(this._history, this._at, this._at);
  }

  /** Show one dump, and in it the field at this offset, as what the prose points at. */
  lookAt(key, offset) {
    this.showKey(key);
    if (offset !== null) this._select(offset, true);
    this._bringsIntoView = offset !== null; // once it has its room
  }

  _choose(key) {
    this.showKey(key);
  }

  _prepare(dump) {
    const wide = this._panel.clientWidth;
    const across = wide && wide < rem() * NARROW_REM ? WHERE_NARROW : BYTES_A_ROW;
    if (this._shown && this._shown.dump === dump && this._shown.across === across) {
      this._paint();
      return;
    }
    this._shown = new PreparedDump(dump, this._open, across);
    const facts = [`${this._shown.bytes.length.toLocaleString("en")} bytes${dump.base ? ` from ${dump.base}` : ""}`];
    if (this._shown.allNew) facts.push("all new");
    if (dump.note) facts.push(dump.note);
    this._note.textContent = facts.join(" · ");
    this._drawFields();
    const first = dump.format !== "ltx" && dump.changed.length && dump.changed[0][0] > dump.base ? dump.changed[0][0] : dump.base;
    this._hex.scrollTop = 0;
    this._select(first, true);
  }

  _drawFields() {
    const parts = this._shown.parts.slice(0, MOST_FIELDS);
    fill(this._fields, parts.map((part, index) => {
      let changed = false;
      for (let i = 0; i < Math.min(part.length, 4096) && !changed; i++) changed = this._shown.changed.has(part.offset + i);
      return h("li", { class: changed ? "has-change" : "" },
        h("button", { type: "button", tabindex: "-1", "data-part": index, onclick: () => this._select(part.offset, true) },
          h("span", { class: `swatch k-${part.kind}`, "aria-hidden": "true" }, KIND_LETTERS[part.kind] || "f"),
          h("span", { class: "field-name" }, part.name),
          h("span", { class: "field-value" }, part.value)));
    }), this._shown.parts.length > MOST_FIELDS
      ? h("li", { class: "note" }, `… ${this._shown.parts.length - MOST_FIELDS} more fields, in the bytes`) : null);
  }

  /** Make a byte the selected one, explain its field; `scroll` brings it into view. */
  _select(offset, scroll) {
    const shown = this._shown;
    if (!shown || !shown.bytes.length) {
      fill(this._explain, shown ? shown.dump.note || "There are no bytes here." : "");
      this._paint();
      return;
    }
    this._offset = Math.min(Math.max(offset, shown.dump.base), shown.end - 1);
    if (scroll) this._scrollTo(shown.rowOf(this._offset));
    this._explainAt(this._offset);
    this._paint();
  }

  _scrollTo(row) {
    const high = this._rowHeight();
    const view = this._hex.clientHeight;
    const y = row * high;
    if (y < this._hex.scrollTop) this._hex.scrollTop = Math.max(0, y - high);
    else if (y + high * 2 > this._hex.scrollTop + view) this._hex.scrollTop = y - view / 2;
  }

  _explainAt(offset) {
    const shown = this._shown;
    const which = shown.partAt(offset);
    const part = shown.parts[which];
    const byte = shown.bytes[offset - shown.dump.base];
    for (const button of this._fields.querySelectorAll("button[data-part]")) {
      const chosen = Number(button.dataset.part) === which;
      button.parentElement.classList.toggle("chosen", chosen);
      button.tabIndex = chosen || (which < 0 && button.dataset.part === "0") ? 0 : -1;
      if (chosen) keepInViewOf(this._fields, button.parentElement);
    }
    const place = part
      ? `bytes ${hexOffset(part.offset)}–${hexOffset(part.offset + part.length - 1)} (${part.length})`
      : `byte ${hexOffset(offset)}`;
    fill(this._explain,
      part ? h("b", { class: `field-tag k-${part.kind}` }, part.name) : null,
      part && part.value ? h("code", null, ` ${part.value} `) : " ",
      h("span", { class: "note" }, place, part ? "" : ` = ${byte}`, shown.changed.has(offset) ? " · changed " : " "),
      part ? h("span", null, part.meaning) : null);
  }

  _rowHeight() {
    return Math.round(rem() * ROW_REM);
  }

  /** Draw the rows in view anew, after the room for them has changed. */
  resized() {
    if (!this._shown) return;
    this._prepare(this._shown.dump);
    if (this._bringsIntoView) this._scrollTo(this._shown.rowOf(this._offset));
    this._bringsIntoView = false;
  }

  _paint() {
    const shown = this._shown;
    if (!shown) return;
    const high = this._rowHeight();
    const [from, to] = rowsInView(this._hex, high, shown.rows.length);
    const chosen = shown.partAt(this._offset);
    this._rows.style.height = `${shown.rows.length * high}px`;
    const rows = [];
    for (let index = from; index < to; index++) rows.push(this._row(shown, shown.rows[index], index * high, high, chosen));
    this._rows.replaceChildren(...rows);
  }

  _row(shown, row, top, high, chosen) {
    const style = { top: `${top}px`, height: `${high}px`, "line-height": `${high}px` };
    const place = h("span", { class: "offset" }, hexOffset(row.start));
    if (row.folded) {
      return h("div", { class: "hex-row folded", style, "data-fold": row.start }, place,
        `⋯ ${row.folded.toLocaleString("en")} zero bytes${shown.across < BYTES_A_ROW ? "" : " (Enter or click shows them)"}`);
    }
    const text = [];
    const cells = [];
    for (let offset = row.start; offset < row.start + shown.across; offset++) {
      const inside = offset >= shown.dump.base && offset < shown.end;
      const byte = inside ? shown.bytes[offset - shown.dump.base] : 0;
      if (!inside) {
        cells.push(h("span", { class: "byte none" }, "  "));
        text.push(" ");
        continue;
      }
      const which = shown.partAt(offset);
      const part = shown.parts[which];
      const classes = ["byte", part ? `k-${part.kind}` : "k-none"];
      if (part && (offset === part.offset || offset === row.start)) classes.push(offset === part.offset ? "starts" : "goes-on");
      if (shown.changed.has(offset)) classes.push("changed");
      if (which >= 0 && which === chosen) classes.push("chosen");
      if (offset === this._offset) classes.push("here");
      cells.push(h("span", { class: classes.join(" "), "data-offset": offset }, byte.toString(16).padStart(2, "0")));
      text.push(byte > 32 && byte < 127 ? String.fromCharCode(byte) : byte === 32 ? " " : "·");
    }
    return h("div", { class: "hex-row", style }, place, h("span", { class: "cells" }, cells.slice(0, 8)),
      h("span", { class: "cells" }, cells.slice(8)), h("span", { class: "ascii" }, text.join("")));
  }

  _point(event, chooses) {
    const folded = event.target.closest("[data-fold]");
    if (folded && chooses) {
      this._unfold(Number(folded.dataset.fold));
      return;
    }
    const cell = event.target.closest("[data-offset]");
    // A pointer that rests while the bytes below it change points at nothing new.
    const place = `${event.clientX},${event.clientY}`;
    const rests = place === this._pointer && !chooses;
    this._pointer = place;
    if (!cell || rests) return;
    const offset = Number(cell.dataset.offset);
    if (chooses) this._select(offset, false);
    else this._explainAt(offset);
  }

  _unfold(start) {
    this._open.add(start);
    this._shown.rows = this._shown._makeRows(this._open);
    this._paint();
  }

  _key(event) {
    if (!this._shown || event.ctrlKey || event.altKey || event.metaKey) return;
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this._shown.across, ArrowDown: this._shown.across };
    let offset = null;
    if (event.key in moves) offset = this._offset + moves[event.key];
    else if (event.key === "]") offset = this._neighbourField(1);
    else if (event.key === "[") offset = this._neighbourField(-1);
    else if (event.key === "Home") offset = this._shown.dump.base;
    else if (event.key === "End") offset = this._shown.end - 1;
    else if (event.key === "c") offset = this._nextChange();
    else if (event.key === "Enter") {
      const row = this._shown.rows[this._shown.rowOf(this._offset)];
      if (row.folded) this._unfold(row.start);
    } else return;
    event.preventDefault();
    event.stopPropagation();
    if (offset !== null) this._select(offset, true);
  }

  _neighbourField(direction) {
    const which = this._shown.partAt(this._offset);
    const part = this._shown.parts[Math.min(Math.max(which + direction, 0), this._shown.parts.length - 1)];
    return part ? part.offset : this._offset;
  }

  _nextChange() {
    const runs = this._shown.dump.changed.map(([offset]) => offset).sort((a, b) => a - b);
    return runs.find((offset) => offset > this._offset) ?? runs[0] ?? this._offset;
  }

  _fieldKey(event) {
    const moves = { ArrowDown: 1, ArrowUp: -1 };
    const button = event.target.closest("button[data-part]");
    if (!(event.key in moves) || !button) return;
    event.preventDefault();
    event.stopPropagation();
    const next = this._fields.querySelector(`button[data-part="${Number(button.dataset.part) + moves[event.key]}"]`);
    if (!next) return;
    this._select(this._shown.parts[Number(next.dataset.part)].offset, true);
    next.focus();
  }
}

/** The key of the most telling dump of a stretch: that of the entry told of, or the newest. */
export function tellingDump(history, at, from) {
  const told = history.entries[history.told(at)];
  const known = (id) => history.dumps.get(id);
  if (told && told.dumps.length && known(told.dumps[0])) return known(told.dumps[0]).key;
  for (let index = at; index >= from; index--) {
    const first = history.entries[index].dumps.map(known).find((dump) => dump);
    if (first) return first.key;
  }
  return null;
}

export function hexOffset(offset) {
  return offset.toString(16).padStart(4, "0");
}
