// The nodes: role, position, lag, locks, what is held, the databases as grids of pages, and the frames
// that travel over the links between them. The rule: all of it follows from the state after one entry.
import { fill, h, minutes, copyText, svg, whoOf } from "./dom.js";

/** How a page stands: letter, words. The colours are in style.css, `.how-…`. */
export const PAGE_STATES = {
  journalled: ["J", "its old content is in the journal"],
  written: ["W", "SQLite has written it"],
  captured: ["C", "it is in an LTX file of the primary"],
  shipped: ["S", "a replica has received it"],
  stored: ["D", "its LTX file is on the replica's disk"],
  applied: ["A", "the replica's database has it"],
};

const MOST_CELLS = 480;
const MOST_LIT = 1000;
const MOST_FLIGHTS = 40;

/** Draw the nodes after entry `at`; `from` is the first entry of the stretch that is new. */
export function drawNodes(box, history, at, from, view) {
  const nodes = history.nodes(at);
  const lit = litPages(history, from, at);
  const cards = nodes.map((node) => nodeCard(history, node, at, lit, view));
  box.classList.toggle("forward", view.forward);
  const linked = nodes.some((node) => history.value(`node/${node}/link`, at));
  const lanes = h("div", { class: `lanes${linked ? "" : " none"}`, "aria-hidden": "true" });
  if (!nodes.length) {
    fill(box, h("p", { class: "empty" }, view.live ? "No nodes yet: Next starts them." : "No nodes yet."));
    return;
  }
  fill(box, lanes, h("div", { class: "cards" }, cards), legend());
}

function litPages(history, from, at) {
  const lit = new Map();
  for (let index = Math.max(from, at - MOST_LIT); index <= at; index++) {
    for (const [node, database, pgno, how] of history.entries[index].lights) {
      lit.set(`${node}/${database}/${pgno}`, { how, index });
    }
  }
  return lit;
}

function nodeCard(history, node, at, lit, view) {
  const role = history.value(`node/${node}/role`, at) || "down";
  const held = history.value(`node/${node}/held`, at) || [];
  const databases = history.databases(node, at);
  const told = history.entries[at];
  const now = told && history.entries[history.told(at)].node === node;
  return h("article", { class: `card role-${role}${now ? " now" : ""}`, "data-node": node },
    h("header", null,
      h("h2", null, node),
      h("span", { class: `role role-${role}` }, role === "primary" ? "★ primary" : role === "down" ? "✗ down" : "replica"),
      databases.map((database) => lagView(history, node, database, at, databases.length > 1)),
      mountButton(history, node, at, view)),
    databases.map((database) => databaseView(history, node, database, at, lit, view)),
    databases.length ? null : h("p", { class: "empty" }, role === "down" ? "The process is gone." : "No database yet."),
    shellViews(history, node, at),
    heldView(history, node, held, at, view));
}

function mountButton(history, node, at, view) {
  const mount = history.value(`node/${node}/mount`, at);
  if (!mount || !view.live) return null;
  const line = `sqlite3 ${mount}/data.db`;
  return h("button", { type: "button", class: "mount", "data-focus": `mount-${node}`,
    "data-tip": `Copy: ${line}`, "aria-label": `Copy the line that opens ${node}'s database: ${line}`,
    onclick: (event) => copyText(line, event.currentTarget) }, "copy path");
}

function databaseView(history, node, database, at, lit, view) {
  const get = (what) => history.value(`db/${node}/${database}/${what}`, at);
  const txid = get("txid");
  const checksum = get("checksum") || "";
  const locks = get("locks") || [];
  return h("div", { class: "database" },
    h("div", { class: "position" },
      h("span", { class: "name" }, database),
      get("mode") ? h("span", { class: "mode" }, get("mode")) : null,
      h("span", { class: "txid", "data-tip": `Position: TXID ${txid ?? 0}, checksum ${checksum || "none"}` },
        "TXID ", h("b", null, String(txid ?? 0))),
      checksum ? h("code", { class: "checksum" }, `${checksum.slice(0, 4)}…${checksum.slice(-4)}`) : null,
      othersThatDiffer(history, node, database, at).map((other) =>
        h("span", { class: "differs", "data-tip": `${node} and ${other} have the same TXID and different checksums` }, `≠ ${other}`))),
    pageGrid(history, node, database, at, lit, get("pages") || 0, view),
    locks.length
      ? h("div", { class: "locks" }, holdersOf(locks).map(([who, held]) =>
        h("span", { class: `holder${held.some((lock) => lock.kind === "write") ? " writes" : ""}` }, h("i", null, whoOf(who)),
          held.map((lock) => h("span", { class: `lock lock-${lock.kind}`,
            "data-tip": `${who} holds ${lock.lock} for ${lock.kind === "write" ? "writing" : "reading"}` },
          h("span", { class: "sign" }, lock.kind === "write" ? "■" : "□"), lock.lock)))))
      : null);
}

/** The locks by who holds them: who writes first. */
function holdersOf(locks) {
  const found = new Map();
  for (const lock of locks) found.set(lock.who, [...(found.get(lock.who) || []), lock]);
  const writes = ([, held]) => held.some((lock) => lock.kind === "write");
  return [...found].sort((a, b) => writes(b) - writes(a));
}

/** The nodes at the same TXID whose checksum is another: they have another history. */
function othersThatDiffer(history, node, database, at) {
  const get = (one, what) => history.value(`db/${one}/${database}/${what}`, at);
  const txid = get(node, "txid");
  return history.nodes(at).filter((other) =>
    other !== node && txid && get(other, "txid") === txid && get(other, "checksum") !== get(node, "checksum"));
}

function lagView(history, node, database, at, named) {
  const lag = history.lag(node, database, at);
  if (!lag) return null;
  const words = `${Math.abs(lag)} ${lag > 0 ? "behind" : "ahead"}`;
  return h("span", { class: "lag", "data-tip": `${database}: ${Math.abs(lag)} transactions ${lag > 0 ? "behind" : "ahead of"} the primary` },
    named ? `${database} ${words}` : words);
}

function pageGrid(history, node, database, at, lit, pages, view) {
  const cells = [];
  const shown = Math.min(pages, MOST_CELLS);
  const beyond = [...lit.keys()].filter((key) => key.startsWith(`${node}/${database}/`))
    .map((key) => Number(key.slice(key.lastIndexOf("/") + 1))).filter((pgno) => pgno > shown);
  const pgnos = [...Array(shown).keys()].map((n) => n + 1).concat(beyond.sort((a, b) => a - b).slice(0, 60));
  for (const pgno of pgnos) {
    const state = history.value(`page/${node}/${database}/${pgno}`, at);
    const now = lit.get(`${node}/${database}/${pgno}`);
    const how = (now && now.how) || (state && state.how) || "";
    const [letter, words] = PAGE_STATES[how] || ["", "unchanged"];
    const txid = state && state.txid ? `, transaction ${state.txid}` : "";
    cells.push(h("span", { class: `page how-${how || "none"}${now ? " now" : ""}`,
      "data-tip": `page ${pgno}: ${words}${txid}`,
      style: now && view.forward ? { "animation-delay": `${Math.round(view.motion.delay(now.index))}ms` } : {} },
    h("small", null, String(pgno)), letter ? h("b", null, letter) : null));
  }
  if (!cells.length) return null;
  const size = pgnos.length > 120 ? " tiny" : pgnos.length > 40 ? " small" : "";
  const rest = pages > shown ? h("span", { class: "rest" }, `… ${pages.toLocaleString("en")} pages`) : null;
  return h("div", { class: `grid${size}`, role: "img",
    "aria-label": `${pages} pages of ${database} on ${node}` }, cells, rest);
}

function shellViews(history, node, at) {
  return history.shells(node, at).slice(-3).map(([name, shell]) => {
    const sign = { running: "…", done: "✓", error: "✗" }[shell.state] || "";
    const result = shell.state === "running" ? "the shell waits" : shell.result;
    const tip = `${shell.sql}\n${result || ""}${shell.pid ? `\nprocess ${shell.pid}` : ""}`;
    return h("div", { class: `shell shell-${shell.state}`, "data-tip": tip },
      h("span", { class: "prompt" }, `${name && name !== "-" ? name : "sql"}> `), h("span", { class: "statement" }, shell.sql),
      h("span", { class: "result" }, ` ${sign} ${String(result || "").split("\n").join(" · ")}`));
  });
}

function heldView(history, node, held, at, view) {
  return held.slice(0, 3).map((one) => {
    const counts = view.atEnd && view.live;
    const ms = counts ? Date.now() - one.wall_ms : heldUntil(history, node, one, at);
    return h("div", { class: "held" },
      h("span", { class: "sign", "aria-hidden": "true" }, "▮▮ "),
      "held for ",
      h("b", counts ? { "data-since": one.wall_ms } : null, minutes(ms)),
      ` at `, h("code", null, one.name), one.who ? [" by ", whoOf(one.who)] : "");
  }).concat(held.length > 3 ? [h("div", { class: "held more" }, `and ${held.length - 3} more`)] : []);
}

/** How long something was held after entry `at`, from the entries' own times. */
function heldUntil(history, node, one, at) {
  let first = at;
  for (;;) {
    const since = history.since(`node/${node}/held`, first);
    const list = since < 0 ? [] : history.value(`node/${node}/held`, since) || [];
    if (!list.some((other) => other.wall_ms === one.wall_ms && other.name === one.name)) break;
    first = since - 1;
  }
  return history.entries[at].t_ms - history.entries[Math.min(at, first + 1)].t_ms;
}

function legend() {
  return h("div", { class: "legend" }, Object.entries(PAGE_STATES).map(([how, [letter, words]]) =>
    h("span", { class: "key", "data-tip": `${how}: ${words}` },
      h("span", { class: `page how-${how}` }, h("b", null, letter)), how)));
}

/** The links above the cards, with the frames on them; once the cards have their places. */
export function drawLanes(box, history, at, from, view) {
  const lanes = box.querySelector(".lanes");
  if (!lanes || !lanes.clientHeight) return;
  const cards = [...box.querySelectorAll(".card")];
  const middle = (node) => {
    const card = cards.find((one) => one.dataset.node === node);
    return card ? card.offsetLeft + card.offsetWidth / 2 : null;
  };
  const width = lanes.clientWidth;
  const links = history.nodes(at)
    .map((node) => [node, history.value(`node/${node}/link`, at)])
    .filter(([node, link]) => link && link.to && link.to !== node && middle(link.to) !== null);
  const step = lanes.clientHeight / (links.length + 0.6);
  const drawing = svg("svg", { width, height: lanes.clientHeight, class: "links" }, svg("defs", null, ["up", "bad"].map((kind) =>
    svg("marker", { id: `arrow-${kind}`, class: `arrow-${kind}`, viewBox: "0 0 10 10", refX: "9", refY: "5", markerWidth: "6",
      markerHeight: "6", orient: "auto" }, svg("path", { d: "M0 0L10 5L0 10z" })))));
  lanes.append(drawing);
  const ways = new Map();
  links.forEach(([node, link], index) => {
    // The nearest node has the lowest lane; ports spread a little so that lines do not lie on each other.
    const y = lanes.clientHeight - step * (index + 0.8);
    const x1 = middle(link.to) + (index - (links.length - 1) / 2) * 14;
    const x2 = middle(node);
    const state = history.value(`node/${node}/role`, at) === "down" ? "down" : link.state;
    drawing.append(svg("path", { class: `link link-${state}`, "marker-end": `url(#arrow-${state === "up" ? "up" : "bad"})`, d: `M${x1} ${lanes.clientHeight}V${y}H${x2}V${lanes.clientHeight}` }));
    const words = state === "cut" ? "✂ cut" : state === "down" ? "✗ no connection" : link.delay_ms ? `+${link.delay_ms} ms` : "";
    if (words) {
      lanes.append(h("span", { class: `word word-${state}`, style: { left: `${(x1 + x2 * 2) / 3}px`, top: `${y}px` } }, words));
    }
    ways.set(`${link.to}>${node}`, { x1, x2, y });
    ways.set(`${node}>${link.to}`, { x1: x2, x2: x1, y });
  });
  placeFrames(lanes, ways, history, at, from, view);
}

function placeFrames(lanes, ways, history, at, from, view) {
  const waiting = new Map();
  const atHome = framesNotSent(history, at);
  for (const frame of history.underWay(at)) {
    const way = ways.get(`${frame.from}>${frame.to}`);
    if (!way) continue;
    const key = `${frame.from}>${frame.to}`;
    const place = waiting.get(key) || 0;
    waiting.set(key, place + 1);
    if (place > 4) continue;
    const held = atHome.has(frame);
    const x = held ? way.x1 : (way.x1 + way.x2) / 2 + (place - 0.5) * 26 * Math.sign(way.x1 - way.x2);
    const envelope = envelopeOf(frame, x, way.y, view, held);
    lanes.append(envelope);
    if (frame.sent >= from && view.forward && !held) view.motion.fly(envelope, way.x1 - x, frame.sent);
  }
  if (!view.forward) return;
  for (const frame of history.frames.filter((one) => one.received >= from && one.received <= at).slice(-MOST_FLIGHTS)) {
    const way = ways.get(`${frame.from}>${frame.to}`);
    if (!way) continue;
    const envelope = envelopeOf(frame, way.x2, way.y, view);
    lanes.append(envelope);
    const start = frame.sent >= from ? way.x1 : (way.x1 + way.x2) / 2;
    const flight = view.motion.fly(envelope, start - way.x2, frame.received);
    if (flight) flight.onfinish = () => envelope.remove();
    else envelope.remove();
  }
}

/** The frames whose `stream.send` is held: they are told of, and have not left. */
function framesNotSent(history, at) {
  const newest = new Map();
  for (const frame of history.underWay(at)) newest.set(`${frame.from}>${frame.to}`, frame);
  return new Set([...newest.values()].filter((frame) => (history.value(`node/${frame.from}/held`, at) || [])
    .some((one) => one.name === "stream.send" && one.peer === frame.to)));
}

function envelopeOf(frame, x, y, view, held = false) {
  return h("button", { type: "button", class: `frame${held ? " not-sent" : ""}`, tabindex: "-1", style: { left: `${x}px`, top: `${y}px` },
    "data-tip": `${frame.kind} frame, ${frame.from} → ${frame.to}${frame.bytes ? `, ${frame.bytes} bytes` : ""}${held ? ", about to be sent" : ""}`,
    onclick: () => view.showFrame(frame) }, frame.kind.split(":")[0]);
}
