// The space-time diagram: a line for each node, time rightwards, events as signs, messages as slanted
// lines. The rule: one canvas draws what is in view only, so that 10,000 events cost what 50 cost.
import { rem, themeColour } from "./dom.js";
import { lastAtMost } from "./history.js";
import { letterColour, signOf, traceSign } from "./signs.js";

/** Above the lanes stand the numbers of the steps. */
const TOP_REM = 1.25;
/** From this spacing on there is room for a run's name; below it, for how many events it has. */
const NAMED_SPACING = 0.9;

/** Whether an entry has a sign. */
function isDrawn(entry) {
  return Boolean(entry.node) && ["event", "sql", "fault", "error"].includes(entry.kind);
}

export class Diagram {
  constructor(canvas, folds, on) {
    this.canvas = canvas;
    this._folds = folds;
    this._laidOut = "";
    this._labels = new Map();
    this._until = Infinity;
    this._growth = 0;
    this.spacing = 1.5;
    this.left = 0;
    this.hovered = -1;
    this._hoveredRun = null;
    this._on = on;
    canvas.addEventListener("mousemove", (event) => this._hover(event));
    canvas.addEventListener("mouseleave", () => this._setHovered(-1, null));
    canvas.addEventListener("click", (event) => {
      const run = this._findRun(event);
      const found = run ? -1 : this._find(event);
      if (run) folds.toggle(run);
      else if (found >= 0) on.go(found);
    });
    canvas.addEventListener("wheel", (event) => this._wheel(event), { passive: false });
  }

  /** Draw the entries around `at`; `follow` brings it into view. What is new comes in as `motion` says. */
  draw(history, at, from, follow, motion = null) {
    cancelAnimationFrame(this._growth);
    const frame = () => {
      this._until = motion && motion.runs(history, at) ? motion.until : Infinity;
      this._drawOnce(history, at, from, follow);
      if (this._until < at) this._growth = requestAnimationFrame(frame);
    };
    frame();
  }

  _drawOnce(history, at, from, follow) {
    this._history = history;
    this._at = at;
    this._from = from;
    const ratio = window.devicePixelRatio || 1;
    const canvas = this.canvas;
    const width = canvas.parentElement.clientWidth;
    const height = canvas.parentElement.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    this._rem = rem();
    this._width = width;
    this._height = height;
    this._margin = this._rem * 4.2;
    this._gap = this._rem * this.spacing;
    this._layOut();
    if (follow) this._bringIntoView(Math.min(at, this._until));
    this._clampLeft();
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    this._colours = new Map();
    this._paint(pen);
  }

  /** A colour of the theme, looked up once a drawing. */
  _colour(name) {
    if (!this._colours.has(name)) this._colours.set(name, themeColour(name));
    return this._colours.get(name);
  }

  /** Zoom by a factor around the entry that is looked at. */
  zoom(factor) {
    this.spacing = Math.min(4, Math.max(0.12, this.spacing * factor));
    if (this._history) this.draw(this._history, this._at, this._from, true);
  }

  /** Where each entry stands, in spaces: a run that is folded takes as many as its name needs. */
  _layOut() {
    const history = this._history;
    const runs = this._folds.runs(history);
    const key = `${this._folds.version} ${history.length} ${this.spacing} ${this._rem}`;
    if (key === this._laidOut) return;
    this._laidOut = key;
    const folded = runs.filter((run) => !run.open);
    const slots = [];
    this._centres = new Float64Array(history.length);
    let [place, next] = [-0.5, 0];
    for (let at = 0; at < history.length; at++) {
      const run = next < folded.length && folded[next].first === at ? folded[next++] : null;
      const width = run ? this._widthOf(run) : 1;
      const last = run ? run.last : at;
      slots.push({ first: at, last, run, centre: place + width / 2, width });
      this._centres.fill(place + width / 2, at, last + 1);
      place += width;
      at = last;
    }
    this._slots = slots;
    this._total = place;
  }

  /** A folded run's width in spaces. */
  _widthOf(run) {
    const words = this._wordsOf(run);
    if (!this._labels.has(words)) {
      const pen = this.canvas.getContext("2d");
      pen.font = `600 10px ${themeColour("--sans")}`;
      this._labels.set(words, pen.measureText(words).width / 10);
    }
    return Math.max(1, (this._labels.get(words) * 0.74 + 0.75) / this.spacing);
  }

  _wordsOf(run) {
    return this.spacing >= NAMED_SPACING ? run.label : `×${run.last - run.first + 1}`;
  }

  /** The slot that an entry is in; of a place in spaces, the slot at or before it. */
  _slotAt(place) {
    let [low, high] = [0, this._slots.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this._slots[middle].centre - this._slots[middle].width / 2 <= place) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  _bringIntoView(at) {
    const x = at < 0 ? 0 : this._centres[at] * this._gap;
    const room = this._width - this._margin;
    if (x - this.left > room * 0.85 || x - this.left < room * 0.12) this.left = x - room * 0.6;
  }

  _clampLeft() {
    const most = this._total * this._gap - (this._width - this._margin) * 0.9;
    this.left = Math.max(0, Math.min(this.left, Math.max(0, most)));
  }

  _x(index) {
    const last = this._centres.length - 1;
    const place = index <= last ? this._centres[Math.max(0, index)] : this._total + index - last - 0.5;
    return this._margin + this._rem + place * this._gap - this.left;
  }

  _nodes() {
    return this._history.allNodes();
  }

  _y(node) {
    const index = this._nodes().indexOf(node);
    const top = this._rem * TOP_REM;
    return index < 0 ? top * 0.5 : top + this._lane() * (index + 0.5);
  }

  /** How high the lane of a node is. */
  _lane() {
    return (this._height - this._rem * TOP_REM) / Math.max(1, this._nodes().length);
  }

  _paint(pen) {
    const colour = (name) => this._colour(name);
    pen.clearRect(0, 0, this._width, this._height);
    pen.font = `600 ${this._rem * 0.9}px ${this._colour("--sans")}`;
    pen.textBaseline = "middle";
    const slots = this._slots;
    const begin = slots.length ? Math.max(0, this._slotAt((this.left - this._rem * 2) / this._gap) - 1) : 0;
    const end = slots.length ? this._slotAt((this.left + this._width) / this._gap) : -1;
    const first = slots.length ? slots[begin].first : 0;
    const last = slots.length ? slots[end].last : -1;
    this._paintStretch(pen, colour);
    this._paintSteps(pen, colour, first, last);
    pen.lineWidth = 1.5;
    for (const node of this._nodes()) {
      pen.strokeStyle = colour("--line");
      pen.beginPath();
      pen.moveTo(this._margin, this._y(node));
      pen.lineTo(this._width, this._y(node));
      pen.stroke();
    }
    this._paintMessages(pen, colour, first, last);
    for (let index = begin; index <= end; index++) {
      if (slots[index].run) this._paintRun(pen, slots[index]);
      else this._paintEntry(pen, slots[index].first);
    }
    for (const run of this._openRuns(first, last)) this._paintBracket(pen, run);
    pen.globalAlpha = 1;
    pen.fillStyle = colour("--paper");
    pen.fillRect(0, 0, this._margin, this._height);
    pen.fillStyle = colour("--ink");
    pen.textAlign = "left";
    for (const node of this._nodes()) {
      const primary = this._history.value(`node/${node}/role`, this._at) === "primary";
      pen.fillText(`${node}${primary ? " ★" : ""}`, this._rem * 0.9, this._y(node));
    }
  }

  _paintStretch(pen, colour) {
    if (this._at < 0) return;
    const at = Math.min(this._at, this._until);
    const [begin, end] = [this._slotOf(Math.min(this._from, at)), this._slotOf(at)];
    const edge = (slot, side) => this._margin + this._rem + (slot.centre + (side * slot.width) / 2) * this._gap - this.left;
    pen.fillStyle = colour("--now-soft");
    pen.fillRect(edge(begin, -1), 0, edge(end, 1) - edge(begin, -1), this._height);
    pen.strokeStyle = colour("--now");
    pen.lineWidth = 2;
    pen.beginPath();
    pen.moveTo(this._x(at), 0);
    pen.lineTo(this._x(at), this._height);
    pen.stroke();
  }

  _slotOf(index) {
    return this._slots[this._slotAt(this._centres[index])];
  }

  /** A dotted line and a number where a new command begins. */
  _paintSteps(pen, colour, first, last) {
    pen.fillStyle = pen.strokeStyle = colour("--muted");
    pen.lineWidth = 1;
    pen.setLineDash([2, 3]);
    pen.textAlign = "left";
    let free = -1e9;
    for (let index = Math.max(first, 0); index <= last; index++) {
      const step = this._history.entries[index].step;
      if (step < 0 || (index > 0 && this._history.entries[index - 1].step === step)) continue;
      const slot = this._slotOf(index);
      const x = this._x(index) - (slot.width * this._gap) / 2;
      pen.beginPath();
      pen.moveTo(x, 0);
      pen.lineTo(x, this._height);
      pen.stroke();
      if (x > free) {
        pen.fillText(String(step + 1), x + 4, this._rem * 0.65);
        free = x + this._rem * 1.8;
      }
    }
    pen.setLineDash([]);
  }

  _paintMessages(pen, colour, first, last) {
    pen.strokeStyle = colour("--how-shipped");
    for (const frame of this._history.frames) {
      const end = frame.received >= 0 ? frame.received : frame.sent + 2;
      if (frame.sent < 0 || frame.sent > last || end < first || this._isToCome(frame.sent)) continue;
      pen.globalAlpha = frame.sent > this._at ? 0.3 : 1;
      pen.lineWidth = 2;
      pen.setLineDash(frame.received >= 0 ? [] : [4, 4]);
      const y = this._y(frame.from);
      const reach = frame.received >= 0 ? 1 : 0.6;
      pen.beginPath();
      pen.moveTo(this._x(frame.sent), y);
      pen.lineTo(this._x(end), y + (this._y(frame.to) - y) * reach);
      pen.stroke();
    }
    pen.setLineDash([]);
    pen.globalAlpha = 1;
  }

  _paintEntry(pen, index) {
    const entry = this._history.entries[index];
    if (!isDrawn(entry) || this._isToCome(index)) return;
    const [shape, name, letter] = signOf(entry);
    const weight = letter === "L" ? 0.62 : 1; // there are many locks
    // A box that is folded away has lanes of no height.
    const size = weight * this._size() * (index === this.hovered ? 1.3 : 1);
    const x = this._x(index);
    const y = this._y(entry.node);
    pen.globalAlpha = index > this._at ? 0.35 : 1;
    pen.fillStyle = this._colour(name);
    pen.strokeStyle = this._colour(index === this._at ? "--now" : "--ink");
    pen.lineWidth = index === this._at ? 3 : 1;
    traceSign(pen, shape, x, y, size);
    pen.fill();
    pen.stroke();
    if (letter && weight === 1 && size > this._rem * 0.36) {
      pen.fillStyle = letterColour(name) ? this._colour("--on-dark") : "#111";
      pen.font = `700 ${size * 1.15}px ${this._colour("--sans")}`;
      pen.textAlign = "center";
      pen.fillText(letter, x, y + size * 0.08);
      pen.font = `600 ${this._rem * 0.9}px ${this._colour("--sans")}`;
    }
  }

  _size() {
    return Math.max(0, Math.min(this._rem * 0.62, this._lane() * 0.46, Math.max(3, this._gap * 0.46)));
  }

  /** Whether an entry of the new stretch has not come in yet. */
  _isToCome(index) {
    return index > this._until && index <= this._at;
  }

  /** A folded run: its name, in the colour of its sign. */
  _paintRun(pen, { first, last, run, width }) {
    if (this._isToCome(first)) return;
    const isNow = this._at >= first && this._at <= last;
    const [x, y] = [this._x(first), this._y(run.node)];
    const high = Math.max(0, Math.min(this._rem * 0.72, this._lane() * 0.48));
    const wide = Math.max(0, (width * this._gap) / 2 - Math.min(3, this._gap * 0.12));
    pen.globalAlpha = first > this._at ? 0.35 : 1;
    pen.fillStyle = this._colour("--card");
    pen.strokeStyle = this._colour(isNow || run === this._hoveredRun ? "--now" : "--ink");
    pen.lineWidth = isNow ? 3 : 1;
    pen.beginPath();
    pen.roundRect(x - wide, y - high, wide * 2, high * 2, high * 0.6);
    pen.fill();
    pen.stroke();
    pen.fillStyle = this._colour(signOf(this._history.entries[first])[1]);
    pen.fillRect(x - wide + 1, y + high - Math.max(2, high * 0.3), wide * 2 - 2, Math.max(2, high * 0.3) - 1);
    pen.fillStyle = this._colour("--ink");
    pen.textAlign = "center";
    pen.font = `600 ${Math.min(this._rem * 0.74, high * 1.2)}px ${this._colour("--sans")}`;
    pen.fillText(this._wordsOf(run), x, y - high * 0.1);
    pen.font = `600 ${this._rem * 0.9}px ${this._colour("--sans")}`;
  }

  _openRuns(first, last) {
    return this._folds.runs(this._history).filter((run) => run.open && run.last >= first && run.first <= last);
  }

  /** Over an open run: a line to fold it again. */
  _paintBracket(pen, run) {
    if (this._isToCome(run.first)) return;
    const y = this._bracketY(run);
    const [left, right] = [this._x(run.first) - this._gap * 0.4, this._x(run.last) + this._gap * 0.4];
    pen.globalAlpha = 1;
    pen.strokeStyle = this._colour(run === this._hoveredRun ? "--now" : "--muted");
    pen.lineWidth = run === this._hoveredRun ? 3 : 1.5;
    pen.beginPath();
    pen.moveTo(left, y + 4);
    pen.lineTo(left, y);
    pen.lineTo(right, y);
    pen.lineTo(right, y + 4);
    pen.stroke();
  }

  _bracketY(run) {
    return this._y(run.node) - Math.min(this._size() + 4, this._lane() * 0.5);
  }

  /** The folded run under the pointer, or the line over an open one; null for neither. */
  _findRun(event) {
    if (!this._history || !this._slots || !this._slots.length) return null;
    const [x, y] = this._place(event);
    const slot = this._slots[this._slotAt((x - this._margin - this._rem + this.left) / this._gap)];
    if (slot.run && Math.abs(y - this._y(slot.run.node)) < this._rem * 0.9) return slot.run;
    return this._openRuns(slot.first, slot.last).find((run) => Math.abs(y - this._bracketY(run)) < 5) || null;
  }

  _place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  /** The entry under the pointer: the nearest sign, or message's end, within reach; otherwise -1. */
  _find(event) {
    if (!this._history) return -1;
    const [x, y] = this._place(event);
    const reach = (this._rem * 1.2) / this._gap;
    const near = (x - this._margin - this._rem + this.left) / this._gap;
    if (!this._slots.length) return -1;
    let best = -1;
    let least = (this._rem * 1.3) ** 2;
    for (let at = this._slotAt(near - reach); at <= this._slotAt(near + reach); at++) {
      const { first: index, run } = this._slots[at];
      const entry = this._history.entries[index];
      if (run || !isDrawn(entry)) continue;
      const away = (this._x(index) - x) ** 2 + (this._y(entry.node) - y) ** 2;
      if (away < least) [best, least] = [index, away];
    }
    return best >= 0 ? best : this._findMessage(x, y);
  }

  _findMessage(x, y) {
    for (const frame of this._history.frames) {
      if (frame.sent < 0 || frame.received < 0) continue;
      const [x1, x2] = [this._x(frame.sent), this._x(frame.received)];
      if (x < Math.min(x1, x2) || x > Math.max(x1, x2)) continue;
      const [y1, y2] = [this._y(frame.from), this._y(frame.to)];
      if (Math.abs(y1 + ((x - x1) / (x2 - x1)) * (y2 - y1) - y) < this._rem * 0.5) return frame.sent;
    }
    return -1;
  }

  _hover(event) {
    const run = this._findRun(event);
    this._setHovered(run ? -1 : this._find(event), event, run);
  }

  _setHovered(index, event, run = null) {
    this.canvas.style.cursor = index >= 0 || run ? "pointer" : "default";
    if (index === this.hovered && run === this._hoveredRun) return;
    this.hovered = index;
    this._hoveredRun = run;
    if (run) this._on.hoverRun(run, event);
    else this._on.hover(index, event);
  }

  _wheel(event) {
    event.preventDefault();
    if (event.ctrlKey) this.zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2);
    else {
      this.left += event.deltaX || event.deltaY;
      this.draw(this._history, this._at, this._from, false);
    }
  }

  /** The entry before or after the one at `index` in the diagram: of a folded run its last. */
  neighbour(index, direction) {
    const stops = this._slots.filter((slot) => isDrawn(this._history.entries[slot.first])).map((slot) => slot.last);
    const here = this._folds.runOf(this._history, index);
    const from = direction > 0 ? index : here && !here.open ? here.first - 1 : index - 1;
    const found = lastAtMost(stops, from);
    return stops[direction > 0 ? found + 1 : found] ?? index;
  }
}
