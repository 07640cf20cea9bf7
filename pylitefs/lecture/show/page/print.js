// The lesson on paper, for slides and hand-outs: a sheet for each thing that Next brings, made when the browser
// is about to print. The rule: a sheet is what the page shows at that step, drawn by the same functions, and all
// of it fits on one page: bytes give way first, then the type gets smaller.
import { fill, h, svg } from "./dom.js";
import { KIND_LETTERS, PreparedDump, hexOffset, tellingDump } from "./bytes.js";
import { signOf } from "./signs.js";
import { drawInvariants } from "./invariants.js";
import { findLook, lookOf } from "./look.js";
import { drawLanes, drawNodes } from "./nodes.js";
import { drawCaption, drawLesson, drawQuestion } from "./prose.js";
import { drawRows, transactionAt } from "./rows.js";
import { drawXor, newestXor } from "./xor.js";

const MOST_SHEETS = 300;
const ROOM_FOR_ROWS = [16, 12, 9, 6, 4, 0];
const SMALLEST_TYPE = 0.6;
/** How many entries the part of the diagram around a step shows, and how far they stand apart. */
const ENTRIES_AROUND = 44;
const ENTRY_GAP = 16;
const LANE = 20;
const DIAGRAM_LEFT = 44;
const PAPER = { live: false, atEnd: false, forward: false, chosen: new Map(), showFrame: () => {} };

/** Make the sheets before the browser prints, and take them away afterwards. */
export function listenForPrint(history) {
  const root = document.documentElement;
  window.addEventListener("beforeprint", () => {
    const box = h("div", { id: "print", "data-theme": "light" });
    document.getElementById("print")?.remove();
    document.body.prepend(box);
    root.classList.add("on-paper");
    fillSheets(box, history);
  });
  window.addEventListener("afterprint", () => {
    document.getElementById("print")?.remove();
    root.classList.remove("on-paper");
  });
}

/** Where Next stops, and where the recording ends. */
function sheetPlaces(history) {
  const { stops, length } = history;
  const last = length - 1;
  return length && stops[stops.length - 1] !== last ? [...stops, last] : stops;
}

function fillSheets(box, history) {
  const places = sheetPlaces(history).slice(0, MOST_SHEETS);
  places.forEach((at, number) => {
    const sheet = sheetOf(history, at, number, places.length);
    box.append(sheet.element);
    sheet.drawOnceInPlace();
  });
}

function sheetOf(history, at, number, count) {
  const from = history.stretchStart(at);
  const prose = h("div", { class: "sheet-prose" });
  const steps = h("ol", { class: "sheet-steps" });
  const told = h("div", { class: "sheet-told" });
  const alone = h("div", { class: "sheet-alone" });
  const must = h("div", { class: "sheet-must" });
  const nodes = h("div", { class: "sheet-nodes" });
  const about = h("div", { class: "sheet-about" });
  const right = h("div", { class: "sheet-right" }, told, alone, must, nodes, timeline(history, from, at), about);
  const left = h("div", { class: "sheet-left" }, prose, steps);
  const steps_ = history.header.steps;
  const element = h("section", { class: "sheet" },
    h("header", null, h("b", null, history.header.title), h("span", null,
      `step ${history.step(at) + 1} of ${steps_.length} · ${number + 1} / ${count}`)),
    h("div", { class: "sheet-body" }, left, right));
  drawLesson(prose, steps, history, at, PAPER, {});
  drawCaption(told, alone, history, at);
  drawInvariants(must, history, at, from, {});
  drawNodes(nodes, history, at, from, PAPER);
  const drawOnceInPlace = () => {
    drawLanes(nodes, history, at, from, PAPER);
    for (const rows of ROOM_FOR_ROWS) {
      drawAbout(about, history, at, from, rows);
      if (right.scrollHeight <= right.clientHeight + 1) break;
    }
    for (const column of [left, right]) makeFit(column);
  };
  return { element, drawOnceInPlace };
}

function makeFit(column) {
  for (let size = 0.96; size >= SMALLEST_TYPE && column.scrollHeight > column.clientHeight + 1; size -= 0.04) {
    column.style.zoom = size.toFixed(2);
  }
}

/** What the step is about: a question, the rows, the XOR, or bytes; as the page's tabs follow it. */
function drawAbout(box, history, at, from, rows) {
  if (history.questionAt(at) >= 0) {
    box.classList.add("sheet-question");
    delete box.dataset.shown;
    drawQuestion(box, h("div"), history, at, PAPER, {});
    return;
  }
  const look = lookOf(history, at, from);
  const found = look ? findLook(history, at, look) : null;
  const told = history.entries[history.told(at)];
  if (found && found.key) drawBytes(box, history, at, found.key, found.offset, rows);
  else if (told.kind === "note" && told.name.startsWith("ltx.") && transactionAt(history, at, from) >= 0) drawRows(box, history, at, from, () => {});
  else if (newestXor(history, at) >= from && (told.name === "pos.advance" || !told.dumps.length)) drawXor(box, history, at);
  else {
    const newest = history.dumpsAt(at)[0];
    const key = tellingDump(history, at, from) || (newest && newest.key);
    if (key) drawBytes(box, history, at, key, null, rows);
    else fill(box);
  }
}

function drawBytes(box, history, at, key, wanted, most) {
  const { id } = history.dumpsAt(at).find((one) => one.key === key);
  const dump = history.dumps.get(id);
  const shown = new PreparedDump(dump, new Set(), 16);
  const changed = dump.format !== "ltx" && dump.changed.length && dump.changed[0][0] > dump.base ? dump.changed[0][0] : dump.base;
  const offset = wanted ?? changed;
  const row = shown.rowOf(offset);
  const first = Math.max(0, Math.min(row - Math.floor(most / 3), shown.rows.length - most));
  const rows = shown.rows.slice(first, first + most);
  const chosen = shown.partAt(offset);
  const end = rows.length ? rows[rows.length - 1].start + Math.max(16, rows[rows.length - 1].folded) : 0;
  const inView = shown.parts.filter((part) => rows.length && part.offset < end && part.offset + part.length > rows[0].start);
  const at_ = Math.max(0, inView.indexOf(shown.parts[chosen]) - Math.floor(most / 3));
  const part = shown.parts[chosen];
  fill(box, h("p", { class: "sheet-file" }, h("b", null, dump.title), h("span", { class: "note" }, ` ${shown.bytes.length.toLocaleString("en")} bytes`)),
    h("div", { class: "sheet-bytes" },
      h("div", { class: "sheet-hex" }, rows.map((one) => bytesRow(shown, one, chosen, offset))),
      h("ol", { class: "sheet-fields" }, inView.slice(at_, at_ + most).map((one) => h("li", { class: one === part ? "chosen" : "" },
        h("span", { class: `swatch k-${one.kind}` }, KIND_LETTERS[one.kind] || "f"), h("span", { class: "field-name" }, one.name),
        h("span", { class: "field-value" }, one.value))))),
    part ? h("p", { class: "sheet-explain" }, h("b", { class: `field-tag k-${part.kind}` }, part.name), h("code", null, ` ${part.value} `), part.meaning) : null);
}

function bytesRow(shown, row, chosen, here) {
  const place = h("span", { class: "offset" }, hexOffset(row.start));
  if (row.folded) return h("div", { class: "sheet-row" }, place, h("span", { class: "folded" }, `⋯ ${row.folded.toLocaleString("en")} zero bytes`));
  const cells = [];
  for (let offset = row.start; offset < Math.min(row.start + 16, shown.end); offset++) {
    if (offset < shown.dump.base) continue;
    const which = shown.partAt(offset);
    const part = shown.parts[which];
    const classes = ["byte", part ? `k-${part.kind}` : "k-none"];
    if (part && offset === part.offset) classes.push("starts");
    if (shown.changed.has(offset)) classes.push("changed");
    if (which >= 0 && which === chosen) classes.push("chosen");
    if (offset === here) classes.push("here");
    cells.push(h("span", { class: classes.join(" ") }, shown.bytes[offset - shown.dump.base].toString(16).padStart(2, "0")));
  }
  return h("div", { class: "sheet-row" }, place, cells);
}

/** The space-time diagram around a step: a lane for each node, a sign for each event, the step marked. */
function timeline(history, from, at) {
  const nodes = history.allNodes();
  if (!nodes.length) return null;
  const first = Math.max(0, Math.min(at - ENTRIES_AROUND + 8, from - 4));
  const start = Math.max(first, at - ENTRIES_AROUND + 5);
  const last = Math.min(history.length - 1, start + ENTRIES_AROUND - 1);
  const x = (index) => DIAGRAM_LEFT + 12 + (index - start) * ENTRY_GAP;
  const y = (node) => 10 + nodes.indexOf(node) * LANE;
  const width = x(last) + 12;
  const height = nodes.length * LANE;
  const signs = [];
  for (let index = start; index <= last; index++) {
    const entry = history.entries[index];
    if (!nodes.includes(entry.node) || !["event", "sql", "fault", "error"].includes(entry.kind)) continue;
    signs.push(signView(entry, x(index), y(entry.node), index > at));
  }
  const inView = history.frames.filter((frame) => frame.sent >= start && frame.received >= 0 && frame.received <= last);
  return svg("svg", { class: "sheet-time", viewBox: `0 0 ${Math.max(width, DIAGRAM_LEFT + 24 + ENTRIES_AROUND * ENTRY_GAP)} ${height}`, role: "img",
    "aria-label": "The events around this step, a line for each node" },
  svg("rect", { class: "sheet-now", x: x(Math.max(start, from)) - ENTRY_GAP / 2, y: 0, width: x(at) - x(Math.max(start, from)) + ENTRY_GAP, height }),
  nodes.map((node) => [svg("line", { class: "sheet-lane", x1: DIAGRAM_LEFT, x2: width, y1: y(node), y2: y(node) }),
    svg("text", { class: "sheet-node", x: 4, y: y(node) + 4 }, node + (history.value(`node/${node}/role`, at) === "primary" ? " ★" : ""))]),
  inView.map((frame) => svg("line", { class: `sheet-frame${frame.received > at ? " later" : ""}`, x1: x(frame.sent), y1: y(frame.from), x2: x(frame.received), y2: y(frame.to) })),
  signs);
}

function signView(entry, x, y, later) {
  const [, colour, letter] = signOf(entry);
  const dark = ["--k-lock", "--bad", "--how-stored", "--ink", "--muted", "--accent"].includes(colour);
  return svg("g", { class: later ? "later" : "" },
    svg("rect", { x: x - 6, y: y - 7, width: 12, height: 14, rx: 3, style: { fill: `var(${colour})` }, class: "sheet-sign" }),
    svg("text", { x, y: y + 4, class: `sheet-letter${dark ? " on-dark" : ""}` }, letter));
}
