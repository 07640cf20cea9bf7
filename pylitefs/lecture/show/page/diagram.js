// The space-time diagram: a line for each node, time rightwards, events as signs, messages as slanted
// lines. The rule: one canvas draws what is in view only, so that 10,000 events cost what 50 cost.
import { rem, themeColour } from "./dom.js";
import { lastAtMost } from "./history.js";

/** What kind of thing an event is: its sign, its colour of the theme, its letter. */
const SIGNS = {
  lock: ["square", "--k-lock", "L"],
  journal: ["diamond", "--how-journalled", "J"],
  page: ["square", "--how-written", "P"],
  wal: ["diamond", "--how-written", "W"],
  tx: ["cross", "--bad", "R"],
  ltx: ["hexagon", "--how-captured", "X"],
  pos: ["star", "--how-applied", "T"],
  stream: ["triangle", "--how-shipped", "S"],
  catchup: ["triangle", "--how-stored", "C"],
  snapshot: ["hexagon", "--how-stored", "N"],
  recovery: ["diamond", "--how-stored", "V"],
  retention: ["cross", "--muted", "D"],
  lease: ["circle", "--accent", "E"],
  halt: ["circle", "--k-lock", "H"],
  fault: ["cross", "--bad", "F"],
  other: ["circle", "--muted", ""],
};

/** Above the lanes stand the numbers of the steps. */
const TOP_REM = 1.25;

/** The sign of an entry. */
export function signOf(entry) {
  if (entry.kind === "fault" || entry.kind === "error") return SIGNS.fault;
  if (entry.kind === "sql") return ["circle", "--ink", "Q"];
  return SIGNS[entry.name.split(".")[0]] || SIGNS.other;
}

export class Diagram {
  constructor(canvas, on) {
    this.canvas = canvas;
    this.spacing = 1.5;
    this.left = 0;
    this.hovered = -1;
    this._on = on;
    canvas.addEventListener("mousemove", (event) => this._hover(event));
    canvas.addEventListener("mouseleave", () => this._setHovered(-1, null));
    canvas.addEventListener("click", (event) => {
      const found = this._find(event);
      if (found >= 0) on.go(found);
    });
    canvas.addEventListener("wheel", (event) => this._wheel(event), { passive: false });
  }

  /** Draw the entries around `at`; `follow` brings it into view. */
  draw(history, at, from, follow) {
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
    if (follow) this._bringIntoView(at);
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

  _bringIntoView(at) {
    const x = at * this._gap;
    const room = this._width - this._margin;
    if (x - this.left > room * 0.85 || x - this.left < room * 0.12) this.left = x - room * 0.6;
  }

  _clampLeft() {
    const most = this._history.length * this._gap - (this._width - this._margin) * 0.9;
    this.left = Math.max(0, Math.min(this.left, Math.max(0, most)));
  }

  _x(index) {
    return this._margin + this._rem + index * this._gap - this.left;
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
    const first = Math.max(0, Math.floor((this.left - this._rem * 2) / this._gap) - 1);
    const last = Math.min(this._history.length - 1, Math.ceil((this.left + this._width) / this._gap));
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
    for (let index = first; index <= last; index++) this._paintEntry(pen, index);
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
    pen.fillStyle = colour("--now-soft");
    const x = this._x(this._from) - this._gap / 2;
    pen.fillRect(x, 0, this._x(this._at) + this._gap / 2 - x, this._height);
    pen.strokeStyle = colour("--now");
    pen.lineWidth = 2;
    pen.beginPath();
    pen.moveTo(this._x(this._at), 0);
    pen.lineTo(this._x(this._at), this._height);
    pen.stroke();
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
      const x = this._x(index) - this._gap / 2;
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
      if (frame.sent < 0 || frame.sent > last || end < first) continue;
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
    if (!entry.node || !["event", "sql", "fault", "error"].includes(entry.kind)) return;
    const [shape, name, letter] = signOf(entry);
    const weight = letter === "L" ? 0.62 : 1; // there are many locks
    // A box that is folded away has lanes of no height.
    const size = weight * Math.max(0, Math.min(this._rem * 0.62, this._lane() * 0.46, Math.max(3, this._gap * 0.46))) * (index === this.hovered ? 1.3 : 1);
    const x = this._x(index);
    const y = this._y(entry.node);
    pen.globalAlpha = index > this._at ? 0.35 : 1;
    pen.fillStyle = this._colour(name);
    pen.strokeStyle = this._colour(index === this._at ? "--now" : "--ink");
    pen.lineWidth = index === this._at ? 3 : 1;
    tracePath(pen, shape, x, y, size);
    pen.fill();
    pen.stroke();
    if (letter && weight === 1 && size > this._rem * 0.36) {
      pen.fillStyle = ["--k-lock", "--bad", "--how-stored", "--ink", "--muted", "--accent"].includes(name) ? this._colour("--on-dark") : "#111";
      pen.font = `700 ${size * 1.15}px ${this._colour("--sans")}`;
      pen.textAlign = "center";
      pen.fillText(letter, x, y + size * 0.08);
      pen.font = `600 ${this._rem * 0.9}px ${this._colour("--sans")}`;
    }
  }

  /** The entry under the pointer: the nearest sign, or message's end, within reach; otherwise -1. */
  _find(event) {
    if (!this._history) return -1;
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left;
    const y = event.clientY - box.top;
    const near = Math.round((x - this._margin - this._rem + this.left) / this._gap);
    const reach = Math.ceil((this._rem * 1.2) / this._gap);
    let best = -1;
    let least = (this._rem * 1.3) ** 2;
    for (let index = Math.max(0, near - reach); index <= Math.min(this._history.length - 1, near + reach); index++) {
      const entry = this._history.entries[index];
      if (!entry.node) continue;
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
    this._setHovered(this._find(event), event);
  }

  _setHovered(index, event) {
    this.canvas.style.cursor = index >= 0 ? "pointer" : "default";
    if (index === this.hovered) return;
    this.hovered = index;
    this._on.hover(index, event);
  }

  _wheel(event) {
    event.preventDefault();
    if (event.ctrlKey) this.zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2);
    else {
      this.left += event.deltaX || event.deltaY;
      this.draw(this._history, this._at, this._from, false);
    }
  }

  /** The entry nearest before `index` that has a node; for stepping through the diagram by keys. */
  neighbour(index, direction) {
    const stops = this._history.entries.map((entry, at) => (entry.node ? at : -1)).filter((at) => at >= 0);
    const found = lastAtMost(stops, direction > 0 ? index : index - 1);
    return stops[direction > 0 ? found + 1 : found] ?? index;
  }
}

function tracePath(pen, shape, x, y, r) {
  pen.beginPath();
  if (shape === "circle") pen.arc(x, y, r * 0.85, 0, 7);
  else if (shape === "square") pen.rect(x - r * 0.8, y - r * 0.8, r * 1.6, r * 1.6);
  else {
    const corners = SHAPE_CORNERS[shape];
    corners.forEach(([dx, dy], index) => (index ? pen.lineTo(x + dx * r, y + dy * r) : pen.moveTo(x + dx * r, y + dy * r)));
    pen.closePath();
  }
}

const SHAPE_CORNERS = {
  diamond: [[0, -1.1], [1.1, 0], [0, 1.1], [-1.1, 0]],
  triangle: [[-0.85, -1], [1.1, 0], [-0.85, 1]],
  hexagon: [[-1, 0], [-0.5, -0.95], [0.5, -0.95], [1, 0], [0.5, 0.95], [-0.5, 0.95]],
  star: [...Array(10).keys()].map((n) => [Math.sin((n * Math.PI) / 5) * (n % 2 ? 0.65 : 1.2), -Math.cos((n * Math.PI) / 5) * (n % 2 ? 0.65 : 1.2)]),
  cross: [[-1, -0.45], [-0.45, -1], [0, -0.55], [0.45, -1], [1, -0.45], [0.55, 0], [1, 0.45], [0.45, 1], [0, 0.55], [-0.45, 1], [-1, 0.45], [-0.55, 0]],
};
