// The lecture's page: one cursor over the history, and every part of the page drawn from it.
//
// The rule: what is shown is entry `cursor` of the history and nothing else. Next walks the history until
// its end; only there, and only if the nodes are live, it asks the server for the next step.
import { byId, fill, h, minutes } from "./dom.js";
import { History } from "./history.js";
import { openSource } from "./source.js";
import { drawLanes, drawNodes } from "./nodes.js";
import { Diagram } from "./diagram.js";
import { ByteInspector } from "./bytes.js";
import { drawXor, newestXor } from "./xor.js";
import { drawRows, transactionAt } from "./rows.js";
import { commandText, drawCaption, drawLesson, drawQuestion } from "./prose.js";
import { Folds } from "./folds.js";
import { showSigns } from "./signs.js";
import { Motion } from "./motion.js";
import { Preview, PREVIEW_MS, drawPreviewLine } from "./preview.js";
import { EventTable } from "./table.js";
import { FaultPanel } from "./faults.js";
import { listenForKeys, showAgain, showAgainWith, showKeys } from "./keys.js";
import { drawInvariants } from "./invariants.js";
import { haltBadge, leaseBadge } from "./lease.js";
import { Appearance, Tooltip, showToast } from "./chrome.js";
import { Fitting } from "./fit.js";
import { drawEnd, isTheEnd } from "./end.js";
import { Looking } from "./look.js";
import { listenForPrint } from "./print.js";
import { LevelPlay } from "./level.js";

const DOUBLE_PRESS_MS = 1000;
const TABS = [["bytes", "Bytes"], ["rows", "Rows"], ["checksum", "Checksum"], ["events", "Events"], ["faults", "Break things"]];

function panelId(tab) {
  return tab === "question" || tab === "end" ? tab : `panel-${tab}`;
}

/** The page of who gives the lecture; share.js and follow.js make others of it. */
export class LecturePage {
  constructor() {
    this.history = new History();
    this.cursor = -1;
    this.live = false;
    this.busy = "";
    this.tab = "bytes";
    this.tabFollows = true;
    this.chosen = new Map();
    this._forward = true;
    this._moves = "";
    this._atEnd = true;
    this._questionSince = -DOUBLE_PRESS_MS;
    this._question = "";
    this._questionAside = false;
    this._ended = false;
    this._next = null;
    this._scheduled = false;
    this.motion = new Motion();
    this.preview = new Preview(() => this.schedule());
    this._previewed = "";
    this._seeksLink = false;
    this.tip = new Tooltip(byId("tip"));
    this.appearance = new Appearance(() => this.draw());
    this.bytes = new ByteInspector(byId("panel-bytes"));
    this.folds = new Folds((run) => this._folded(run));
    this.looking = new Looking(byId("nodes"), this.bytes);
    this.table = new EventTable(byId("panel-events"), this.folds, { go: (index) => this.go(index) });
    this.faults = new FaultPanel(byId("panel-faults"), { line: (line) => this.ask({ line }) });
    this.diagram = new Diagram(byId("diagram"), this.folds, {
      go: (index) => this.go(index),
      hover: (index, event) => this.tip.showEntry(this._seen.history.entries[index], event),
      hoverRun: (run, event) => this.tip.showRun(run, event),
    });
    this.level = new LevelPlay(byId("play"), { ask: (what, tell) => this.ask(what, tell), draw: () => this.schedule() });
    this.fitting = new Fitting(byId("show"), byId("lesson"));
    this._wire();
  }

  async start() {
    try {
      this.source = await openSource(this._takers());
    } catch (error) {
      showToast(`The recording cannot be read: ${error.message}`, 0);
    }
  }

  // What comes in.

  _takers() {
    return {
      hello: (found) => this._hello(found),
      lines: (lines) => this._take(lines),
      reset: () => this._reset(),
      busy: (what) => this._setBusy(what),
      gone: (why) => showToast(why, 4000),
      problem: (what) => showToast(what, 0),
    };
  }

  _hello(found) {
    this.live = found.live;
    this._next = found.next;
    this.faults.setHelp(found);
    if (found.preview && !this.history.length) this.preview.load(`preview${location.search}`);
    this.level.setHelp(found);
    document.body.classList.toggle("live", this.live);
    this.schedule();
  }

  _take(lines) {
    const before = this.history.length;
    for (const line of lines) this.history.add(line);
    if (this.history.length > before && this._atEnd && this.live) {
      this._forward = true;
      this._moves = "stretch";
      this.cursor = this.history.length - 1;
      this._noteQuestion();
    } else if (!this.live && this.cursor < 0) this._atEnd = this.history.length === 0;
    if (before === 0 || this._seeksLink) this._goToLinked();
    this.schedule();
  }

  /** A link to a step, `#step=12`: the first place where Next stops with it done, once all up to it has come. */
  _goToLinked() {
    const [, number] = /^#step=(\d{1,6})$/.exec(location.hash) || [];
    if (!number || !this.history.length) return;
    const stop = this.history.stops.find((index) => this.history.step(index) >= Number(number) - 1);
    if (stop === undefined && this.live) return;
    this.go(stop ?? this.history.length - 1);
    this._seeksLink = stop === undefined;
  }

  _reset() {
    this._ended = false;
    this.history.clear();
    this.chosen.clear();
    this.cursor = -1;
    this._atEnd = true;
    this.schedule();
  }

  _setBusy(what) {
    this.busy = what;
    this.schedule();
  }

  // Moving.

  /** Look at entry `index`; what is new there comes in: the "stretch", the "one", or nothing does. */
  go(index, moves = "") {
    this._moves = moves;
    const last = this.history.length - 1;
    const wanted = Math.min(Math.max(index, last < 0 ? -1 : 0), last);
    this._forward = wanted > this.cursor;
    this.cursor = wanted;
    this._atEnd = wanted === last;
    this._ended = false;
    this._seeksLink = false;
    this._noteQuestion();
    this.schedule();
  }

  /** One step on: through the history, then the lesson. A press just after a question came is no step. */
  next() {
    if (this._justAsked()) return;
    if (this.cursor < this.history.length - 1) this.go(this.history.nextStop(this.cursor), "stretch");
    else if (this.live && this.level.isOn(this.history, this.cursor)) this.level.focus();
    else if (this.history.length && (!this.live || isTheEnd(this.history, this.cursor))) this._showEnd();
    else if (this.live && !this.busy) this.ask({ next: true });
  }

  /** The lesson is over: what was shown, and what may come. */
  _showEnd() {
    this._ended = true;
    this._questionAside = false;
    this.schedule();
  }

  back() {
    if (this._ended && this._seenTab() === "end") this.go(this.cursor);
    else this.go(this.history.previousStop(this.cursor));
  }

  _justAsked() {
    return performance.now() - this._questionSince < DOUBLE_PRESS_MS;
  }

  /** Answer the open question: the live lesson's, or a recorded one for oneself. */
  answer(number) {
    const index = this.history.questionAt(this.cursor);
    if (index < 0) return;
    const asked = this.history.entries[index].set.question;
    if (number >= asked.choices.length || (asked.answer !== null && asked.answer !== undefined)) return;
    this.chosen.set(asked.text, number);
    if (this.cursor < this.history.length - 1) this.go(this.history.nextStop(this.cursor));
    else if (this.live) this.ask({ answer: number });
    else this.schedule();
  }

  async ask(what, tell = (problem) => showToast(problem, 0)) {
    if (!this.live) {
      showToast("This is a recording: it has no nodes.", 2500);
      return;
    }
    if (this.busy) {
      showToast(`Still busy with ${this.busy}.`, 2500);
      return;
    }
    this.busy = Object.keys(what)[0];
    this._atEnd = true;
    this._ended = false;
    this.cursor = this.history.length - 1;
    this.schedule();
    const problem = await this.source.ask(what);
    this.busy = "";
    if (problem) tell(problem);
    this.schedule();
  }

  /** Again from a step; what a person did beside the lesson is done again only if they say so. */
  again(step) {
    if (this.level.isOn(this.history, this.history.length - 1)) {
      this.ask({ again: 0 });
      return;
    }
    const yours = (this.history.value("lesson/yours", this.history.length - 1) || []).filter(([before]) => before < step);
    if (!this.live || this.busy || !yours.length) this.ask({ again: step });
    else {
      showAgainWith(byId("dialog"), step, yours.map(([, line]) => line),
        (withYours) => this.ask(withYours ? { again: step } : { afresh: step }));
    }
  }

  _againFromTheBeginning() {
    if (this.live) this.again(0);
    else this.go(0);
  }

  // Drawing.

  schedule() {
    if (this._scheduled) return;
    this._scheduled = true;
    requestAnimationFrame(() => {
      this._scheduled = false;
      this.draw();
    });
  }

  draw() {
    this._seen = this._seenNow();
    const { history, cursor, from, view } = this._seen;
    this._drawTop();
    if (view.isPreview && !this._isPreviewNew()) return; // it comes in, and nothing else is seen of the nodes yet
    if (!this.level.draw(byId("prose"), byId("steps"), this.history, this.cursor, view)) {
      drawLesson(byId("prose"), byId("steps"), this.history, this.cursor, view, { again: (step) => this.again(step) });
    }
    drawCaption(byId("told"), byId("alone"), history, cursor);
    drawInvariants(byId("invariants"), history, cursor, from, { go: (index) => this.go(index) });
    drawNodes(byId("nodes"), history, cursor, from, view);
    drawQuestion(byId("question"), byId("announce"), this.history, this.cursor, view, { answer: (number) => this.answer(number) });
    if (this._ended) drawEnd(byId("end"), this.history, view, this._next, { go: (index) => this.go(index), again: () => this._againFromTheBeginning() });
    if (this.tabFollows && !view.isPreview) this._followTab(from);
    this._drawTabs();
    this._drawPanel(history, cursor, from);
    this.looking.draw(history, cursor, from, this._seenTab() === "bytes");
    this._fit();
    drawLanes(byId("nodes"), history, cursor, from, view);
    this.diagram.draw(history, cursor, view.isPreview ? cursor : from, true, this.motion);
    this._drawBar();
    this._forward = false;
    this._moves = "";
  }

  /** What is drawn: the lesson at the cursor, or its end from a recording until its nodes are up. */
  _seenNow() {
    const isPreview = this.preview.shows(this.history);
    const history = isPreview ? this.preview.history : this.history;
    const cursor = isPreview ? this.preview.last : this.cursor;
    const from = isPreview || cursor < 0 ? 0 : history.stretchStart(cursor);
    if (isPreview && !this._previewed) this.motion.begin(history, 0, cursor, PREVIEW_MS);
    else if (!isPreview && this._forward && this._moves) this.motion.begin(history, this._moves === "one" ? cursor : from, cursor);
    const view = { live: this.live && !isPreview, atEnd: this._atEnd, forward: this.motion.runs(history, cursor), chosen: this.chosen,
      motion: this.motion, isPreview, showFrame: (frame) => this._showFrame(frame) };
    return { history, cursor, from, view };
  }

  /** Whether the preview has to be drawn: it is new, or its place is another. */
  _isPreviewNew() {
    const place = `${innerWidth} ${innerHeight} ${document.documentElement.className} ${document.documentElement.dataset.theme} ${this._seenTab()} ${this.folds.version}`;
    const isNew = place !== this._previewed;
    this._previewed = place;
    return isNew;
  }

  /** Give what is seen its room; see fit.js. */
  _fit() {
    const seen = this._seenTab();
    const covers = seen === "question" || seen === "end";
    document.body.classList.toggle("asking", covers);
    this.fitting.fit(byId(panelId(seen)), covers);
    if (seen === "bytes") this.bytes.resized();
  }

  /** Remember when a question, or its answer, came into view: a double press must not skip it. */
  _noteQuestion() {
    const index = this.history.questionAt(this.cursor);
    const asked = index < 0 ? null : this.history.entries[index].set.question;
    const shown = asked ? `${asked.text}:${asked.answer}` : "";
    if (shown && shown !== this._question && this._forward) this._questionSince = performance.now();
    if (shown !== this._question) this._questionAside = false;
    this._question = shown;
  }

  _followTab(from) {
    if (this.cursor < 0) return;
    if (this.looking.follow(this.history, this.cursor, from)) {
      this.tab = "bytes";
      return;
    }
    const xor = newestXor(this.history, this.cursor);
    const told = this.history.entries[this.history.told(this.cursor)];
    const isXor = xor >= from && (told.name === "pos.advance" || !told.dumps.length);
    const isAboutRows = told.kind === "note" && told.name.startsWith("ltx.");
    if (isAboutRows && transactionAt(this.history, this.cursor, from) >= 0) this.tab = "rows";
    else if (isXor) this.tab = "checksum";
    else if (this.history.entries.slice(from, this.cursor + 1).some((entry) => entry.dumps.length)) this.tab = "bytes";
    this.bytes.follows = true;
  }

  _drawTop() {
    const { history, cursor } = this;
    const steps = history.header.steps.length;
    const step = history.step(cursor);
    byId("title").textContent = history.header.title || "pylitefs";
    document.title = history.header.title ? `${history.header.title} – pylitefs` : "pylitefs lecture";
    const mode = history.value("mode", cursor);
    const past = !this._atEnd && history.length > 0;
    fill(byId("badges"),
      h("span", { class: "badge" }, this.level.badge(history, cursor) || (step < 0 ? `${steps} steps` : `step ${step + 1} of ${steps}`)),
      this.live
        ? h("span", { class: `badge ${past ? "past" : "live"}` }, past ? "looking back" : "● live")
        : h("span", { class: "badge recorded" }, "recording"),
      this.busy ? h("span", { class: "badge busy", role: "status", "data-tip": this.busy }, `${this.busy} …`)
        : mode === "running" ? h("span", { class: "badge running" }, "▶ running")
          : h("span", { class: "badge paused" }, h("span", { class: "bars", "aria-hidden": "true" }), "paused"),
      leaseBadge(history, cursor), haltBadge(history, cursor));
    const box = byId("past");
    if (this._seen.view.isPreview) {
      drawPreviewLine(box, this.preview, this.busy);
      return;
    }
    box.hidden = !(past && this.live);
    if (!box.hidden) {
      const again = Math.max(0, step);
      const further = history.length - 1 - cursor;
      fill(box, "You look at the past: the live nodes are ", `${further} ${further === 1 ? "entry" : "entries"} further. `,
        h("button", { type: "button", "data-focus": "past-live", onclick: () => this.go(history.length - 1) }, "to live (End)"), " ",
        step >= 0 ? h("button", { type: "button", "data-focus": "past-again", onclick: () => this.again(again) },
          `↻ Again from step ${again + 1}`) : null);
    }
  }

  /** The tab that is seen: a question covers what would give it away, until another one is chosen. */
  _seenTab() {
    if (this._questionAside) return this.tab;
    return this._ended ? "end" : this._question ? "question" : this.tab;
  }

  /** The tabs that there are now. */
  _tabNames() {
    return [...TABS, ...(this._question ? [["question", "Question"]] : []), ...(this._ended ? [["end", "The end"]] : [])];
  }

  _drawTabs() {
    const seen = this._seenTab();
    fill(byId("tabs"), this._tabNames().map(([name, label]) => h("button", {
      type: "button", role: "tab", id: `tab-${name}`, "aria-selected": String(seen === name), "data-focus": `tab-${name}`,
      "aria-controls": panelId(name), tabindex: seen === name ? "0" : "-1", onclick: () => this.chooseTab(name),
    }, label)));
    fill(byId("follow"), this.tabFollows ? null : h("button", { type: "button", class: "follow", "data-focus": "tab-follow",
      "data-tip": "Show again what the step is about (z)", onclick: () => this.followAgain() }, "follow the step"));
    for (const [name] of [...TABS, ["question"], ["end"]]) byId(panelId(name)).hidden = seen !== name;
  }

  _drawPanel(history, cursor, from) {
    if (this.tab === "bytes") this.bytes.show(history, cursor, from);
    else if (this.tab === "rows") drawRows(byId("panel-rows"), history, cursor, from, (index) => this.go(index));
    else if (this.tab === "checksum") drawXor(byId("panel-checksum"), history, cursor);
    else if (this.tab === "events") this.table.show(history, cursor, from);
    else this.faults.show(this.history.nodes(this.history.length - 1), this.live, this.busy);
  }

  /** A run was opened or folded, or all were. */
  _folded(run) {
    byId("announce-run").textContent = run ? `${run.label} on ${run.node}: ${run.open ? "opened" : "folded"}`
      : this.folds.all ? "All runs are open" : "All runs are folded";
    this.schedule();
  }

  _drawBar() {
    const { history, cursor } = this;
    const slider = byId("slider");
    slider.max = String(Math.max(0, history.length - 1));
    slider.value = String(Math.max(0, cursor));
    const entry = history.entries[cursor];
    slider.setAttribute("aria-valuetext", entry ? `${cursor}: ${entry.text || entry.name}` : "before the first");
    byId("place").textContent = entry ? `${cursor} / ${history.length - 1} · ${minutes(entry.t_ms)}` : "";
    byId("back").disabled = cursor <= 0;
    byId("next").textContent = this.level.nextWords(history, cursor) || (this._atEnd && this.live ? "Next step ▶" : "Next ▶");
    byId("diagram").setAttribute("aria-label",
      `Space-time diagram: ${history.length} entries on ${history.allNodes().length} nodes; arrows move by event. ` +
      "Enter opens or folds a run. The tab Events has the same as a table.");
  }

  _showFrame(frame) {
    const found = this._seen.history.dumpsAt(this._seen.cursor).find((one) => one.key.startsWith(`${frame.from}>${frame.to}`));
    this.chooseTab("bytes");
    if (found) this.bytes.showKey(found.key);
  }

  // What the person does.

  chooseTab(name) {
    this._questionAside = name !== "question" && name !== "end";
    if (name === "question") this._ended = false;
    if (this._questionAside) {
      this.tab = name;
      this.tabFollows = false;
    }
    this.draw();
  }

  /** A link of the prose was clicked. */
  _look(target) {
    const where = this.looking.show(this.history, this.cursor, target);
    if (!where) showToast("It is not there at this step: another one of this passage shows it.", 3000);
    if (where === "bytes") {
      this.tab = "bytes";
      this._questionAside = true;
    }
    this.schedule();
  }

  followAgain() {
    this.tabFollows = true;
    this.bytes.follows = true;
    this._questionAside = false;
    this.draw();
  }

  _wire() {
    byId("next").addEventListener("click", () => this.next());
    byId("back").addEventListener("click", () => this.back());
    byId("slider").addEventListener("input", (event) => this.go(Number(event.target.value)));
    byId("nodes").addEventListener("click", (event) => {
      const card = event.target.closest("[data-node]");
      if (card) this.faults.choose(card.dataset.node);
    });
    byId("signs").addEventListener("click", () => this.act("signs"));
    byId("diagram").addEventListener("keydown", (event) => {
      const run = event.key === "Enter" ? this.folds.runOf(this.history, this.cursor) : null;
      if (run) this.folds.toggle(run);
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!move) return;
      event.preventDefault();
      this.go(this.diagram.neighbour(this.cursor, move));
    });
    byId("tabs").addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!move) return;
      event.preventDefault();
      const names = this._tabNames().map(([name]) => name);
      const chosen = names[(names.indexOf(this._seenTab()) + move + names.length) % names.length];
      this.chooseTab(chosen);
      byId(`tab-${chosen}`).focus();
    });
    byId("prose").addEventListener("click", (event) => {
      const link = event.target.closest("[data-look]");
      if (link) this._look(link.dataset.look);
    });
    window.addEventListener("resize", () => this.schedule());
    listenForPrint(this.history);
    window.addEventListener("hashchange", () => this._goToLinked());
    setInterval(() => {
      for (const one of document.querySelectorAll("[data-since]")) {
        one.textContent = minutes(Date.now() - Number(one.dataset.since));
      }
    }, 500);
    this._tools();
    listenForKeys((what) => this.act(what));
  }

  _tools() {
    const tool = (label, words, what) => h("button", { type: "button", "data-tip": words, "aria-label": words, id: `tool-${what}`,
      onclick: () => this.act(what) }, label);
    fill(byId("tools"), tool("↻ Again", "Again from a step (a)", "again"), tool("Pause/run", "Pause, or run (p)", "pause"),
      tool("Aa", "Large type (l)", "large"), tool("◐", "Dark or light (d)", "theme"), tool("?", "Keys (?)", "keys"));
  }

  /** Do what a key or a tool means. */
  act(what) {
    if (what.startsWith("answer-")) this.answer(Number(what.slice(7)) - 1);
    else if (what.startsWith("tab-")) this.chooseTab(what.slice(4));
    else this._actions()[what]();
  }

  _actions() {
    const dialog = byId("dialog");
    return {
      next: () => this.next(),
      back: () => this.back(),
      forward: () => this.go(this.cursor + 1, "one"),
      backward: () => this.go(this.cursor - 1),
      start: () => this.go(0),
      end: () => this.go(this.history.length - 1),
      follow: () => this.followAgain(),
      pause: () => this.ask(this.history.value("mode", this.history.length - 1) === "running" ? { pause: true } : { run: true }),
      again: () => (this.live && this.level.isOn(this.history, this.history.length - 1) ? this.again(0) : this.live
        ? showAgain(dialog, this.history.header.steps, Math.max(0, this.history.step(this.cursor)), commandText, (step) => this.again(step))
        : showToast("This is a recording: it has no nodes to build again.", 2500)),
      "zoom-in": () => this.diagram.zoom(1.3),
      "zoom-out": () => this.diagram.zoom(1 / 1.3),
      large: () => this.appearance.toggleLarge(),
      theme: () => this.appearance.toggleTheme(),
      keys: () => showKeys(dialog),
      signs: () => showSigns(dialog),
      folds: () => this.folds.toggleAll(),
    };
  }
}

if (!document.body.dataset.page) new LecturePage().start();
