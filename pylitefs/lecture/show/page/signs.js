// The signs of the space-time diagram: a shape, a colour and a letter for each kind of event, and their legend.
// The rule: whatever is drawn is in the legend, and the legend shows nothing that cannot be drawn.
import { fill, h, rem, themeColour } from "./dom.js";
import { PAGE_STATES } from "./nodes.js";

/** What kind of thing an event is, by its name's first word: sign, colour of the theme, letter, words. */
const SIGNS = {
  lock: ["square", "--k-lock", "L", "a lock is taken, let go, or refused"],
  journal: ["diamond", "--how-journalled", "J", "the rollback journal"],
  page: ["square", "--how-written", "P", "a page of the database file is written or applied"],
  wal: ["diamond", "--how-written", "W", "the WAL: a frame, a commit"],
  tx: ["cross", "--bad", "R", "a transaction comes to nothing, or is sent to the primary"],
  ltx: ["hexagon", "--how-captured", "X", "an LTX file: packed, durable, verified, kept"],
  pos: ["star", "--how-applied", "T", "the position moves: a new TXID"],
  stream: ["triangle", "--how-shipped", "S", "a frame between two nodes, or their connection"],
  catchup: ["triangle", "--how-stored", "C", "the primary decides what a replica gets"],
  snapshot: ["hexagon", "--how-stored", "N", "a snapshot is copied"],
  recovery: ["diamond", "--how-stored", "V", "recovery, at a node's start"],
  retention: ["cross", "--muted", "D", "an old LTX file is removed"],
  lease: ["circle", "--accent", "E", "the lease"],
  halt: ["circle", "--k-lock", "H", "the HALT lock"],
  fault: ["cross", "--bad", "F", "a fault, made on purpose, or something refused"],
  sql: ["circle", "--ink", "Q", "a statement of a shell has ended"],
  other: ["circle", "--muted", "", "anything else"],
};

const LIGHT_LETTERS = new Set(["--k-lock", "--bad", "--how-stored", "--ink", "--muted", "--accent"]);

/** The sign of an entry. */
export function signOf(entry) {
  if (entry.kind === "fault" || entry.kind === "error") return SIGNS.fault;
  if (entry.kind === "sql") return SIGNS.sql;
  return SIGNS[entry.name.split(".")[0]] || SIGNS.other;
}

/** The colour of the letter on a sign of this colour. */
export function letterColour(name) {
  return LIGHT_LETTERS.has(name) ? "--on-dark" : "";
}

/** The outline of a sign around (x, y). */
export function traceSign(pen, shape, x, y, r) {
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

/** The legend, in a dialog: the signs of the diagram, the states of a page, the marks of a run. */
export function showSigns(dialog) {
  const row = (sign, words) => h("li", null, sign, h("span", null, words));
  fill(dialog, h("h2", null, "Signs"),
    h("div", { class: "signs" },
      h("section", null, h("h3", null, "In the diagram"), h("ul", null, Object.values(SIGNS).map((sign) => row(drawnSign(sign), sign[3])))),
      h("section", null, h("h3", null, "Pages"), h("ul", null, Object.entries(PAGE_STATES).map(([how, [letter, words]]) =>
        row(h("span", { class: `page how-${how}` }, h("b", null, letter)), `${how}: ${words}`)))),
      h("section", null, h("h3", null, "Between them"), h("ul", null,
        row(h("span", { class: "run-sign" }, "7 locks"), "a run of like events; a click, or Enter on it, opens it; o opens all"),
        row(h("span", { class: "line-sign" }), "a message: sent above, received below"),
        row(h("span", { class: "line-sign is-lost" }), "a message that has not arrived"),
        row(h("span", { class: "now-sign" }), "what the last step brought; the line is where you are")))),
    h("form", { method: "dialog" }, h("button", { autofocus: true }, "close")));
  dialog.showModal();
}

function drawnSign([shape, colour, letter]) {
  const size = Math.round(rem() * 1.3);
  const ratio = window.devicePixelRatio || 1;
  const canvas = h("canvas", { width: size * ratio, height: size * ratio, style: { width: `${size}px`, height: `${size}px` }, "aria-hidden": "true" });
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.fillStyle = themeColour(colour);
  pen.strokeStyle = themeColour("--ink");
  traceSign(pen, shape, size / 2, size / 2, size * 0.4);
  pen.fill();
  pen.stroke();
  if (letter) {
    pen.fillStyle = letterColour(colour) ? themeColour("--on-dark") : "#111";
    Object.assign(pen, { textAlign: "center", textBaseline: "middle", font: `700 ${size * 0.42}px ${themeColour("--sans")}` });
    pen.fillText(letter, size / 2, size * 0.53);
  }
  return canvas;
}
