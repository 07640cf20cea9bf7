// A level: what is asked for, what of it is so, the line to type commands into, hints, and how it ended.
// The rule: all of it is the state's `level` at the cursor; the line only sends what is typed, as it is.
import { copyText, fill, h, keepInViewOf, safeMarkup, sentence } from "./dom.js";

/** So many words are offered at once. */
const MOST_OFFERED = 9;

/** What a command does in a level, where that is not what it does in a lesson. */
const HERE = { expect: "looks whether it is so, for three seconds, and costs nothing" };

/** Whole words that the last word of `line` may become; after a space, words that may follow. As show/completing.py. */
export function completions(line, verbs, help, nodes) {
  const words = line.split(" ");
  const last = words.pop();
  const before = words.filter((word) => word);
  if (!before.length) return verbs.filter((verb) => verb.startsWith(last));
  const found = help.verbs.find((one) => one.verb === before[0]);
  const places = (found && found.slots) || [];
  let at = before.length - 1;
  if (at >= places.length && places.length && places[places.length - 1].includes("NAME")) at = places.length - 1;
  const points = Object.keys(help.tracepoints);
  const groups = [...new Set(points.map((name) => name.split(".")[0]))].sort();
  const offered = (places[at] || []).flatMap((one) => (one === "NODE" ? nodes : one === "NAME" ? [...groups, ...points] : [one]));
  return offered.filter((word) => word.startsWith(last));
}

export class LevelPlay {
  /** `on.ask(what, tell)` sends something; `on.draw()` draws the page again. */
  constructor(box, on) {
    this._on = on;
    this._box = box;
    this._help = { verbs: [], tracepoints: {} };
    this._level = null;
    this._nodes = [];
    this._typed = [];
    this._back = 0;
    this._hints = 0;
    this._busy = false;
    this._make();
  }

  setHelp(found) {
    this._help = { verbs: found.verbs || [], tracepoints: found.tracepoints || {} };
  }

  /** Whether the scene is set, after entry `at`. */
  isOn(history, at) {
    return at >= 0 && Boolean(history.value("level", at));
  }

  /** What stands among the badges in place of the step; null if the scene is not set. */
  badge(history, at) {
    const level = at >= 0 ? history.value("level", at) : null;
    return level ? `level, ${level.used} of ${level.most}` : null;
  }

  /** What Next says where it has nothing to walk through: the line is the student's. */
  nextWords(history, at) {
    return this.isOn(history, at) && !this._box.hidden && at === history.length - 1 ? "Your turn" : null;
  }

  focus() {
    this._line.focus();
    this._offer();
  }

  /** Draw goal and commands in place of the lesson's prose and steps; false, if this is no level, or none yet. */
  draw(prose, steps, history, at, view) {
    const level = at >= 0 ? history.value("level", at) : null;
    const shown = Boolean(level) && view.live;
    const came = shown && this._box.hidden;
    this._box.hidden = !shown;
    document.body.classList.toggle("playing", Boolean(level));
    if (!level) {
      steps.removeAttribute("tabindex");
      return false;
    }
    this._nodes = history.nodes(at);
    this._drawGoal(prose, history.header, level);
    this._drawGiven(steps, level, view);
    this._drawLine(level);
    if (came) this._line.focus({ preventScroll: true });
    return true;
  }

  // What is asked for, and what is so.

  _drawGoal(box, header, level) {
    const goal = header.sections[header.sections.length - 1];
    const shown = `level:${JSON.stringify([level.goal, level.over])}`;
    if (box.dataset.shown === shown) return;
    box.dataset.shown = shown;
    fill(box,
      h("h2", null, goal.heading), safeMarkup(goal.html),
      h("ul", { class: "goal" }, level.goal.map(([text, met, why]) => h("li", { class: met ? "met" : "unmet", "data-tip": met ? "it is so" : why },
        h("span", { class: "tick", "aria-hidden": "true" }, met ? "✓" : "○"), h("span", { class: "offscreen" }, met ? "so: " : "not yet: "),
        h("span", null, sentence(text), met || level.over ? null : h("span", { class: "why-not" }, " ", sentence(why))))),
      level.never.map((text) => h("li", { class: "never" }, h("span", { class: "tick" }, "⊘"), h("span", null, h("b", null, "Never: "), sentence(text)))),
      level.without.length ? h("li", { class: "never" }, h("span", { class: "tick" }, "⊘"), h("span", null, h("b", null, "Not to be given: "),
        h("code", null, level.without.join(" ")))) : null));
  }

  // What was given, the hints, and the end.

  _drawGiven(list, level, view) {
    const given = level.given.map(([line, outcome, counts], index) => h("li", { class: counts ? "given" : "given is-free" },
      h("span", { class: "number" }, counts ? String(level.given.slice(0, index + 1).filter((one) => one[2]).length) : "·"),
      h("div", null, h("code", null, line), h("div", { class: "outcome" }, sentence(outcome)))));
    const hints = level.hints.map((hint, index) => h("li", { class: "hint" }, h("div", null, h("b", null, `Hint ${index + 1}: `), sentence(hint))));
    const end = this._end(level).filter((one) => one);
    list.tabIndex = 0; // It may scroll, and has nothing else to be reached by the keyboard.
    fill(list, hints, given, end,
      given.length || hints.length || end.length ? null
        : h("li", { class: "coming" }, view.live ? "Type a command below. A typo costs nothing." : "Nothing was given yet."));
    const grown = hints.length > this._hints ? hints : given;
    const newest = end[0] || grown[grown.length - 1];
    this._hints = hints.length;
    // Once all is drawn, and has its room.
    if (newest) requestAnimationFrame(() => (end.length ? (list.scrollTop = newest.offsetTop - list.offsetTop) : keepInViewOf(list, newest)));
  }

  _end(level) {
    if (!level.over) return [];
    const next = level.next ? `pylitefs lecture ${level.next}` : "";
    return [
      h("li", { class: `ending ${level.over === "reached" ? "is-good" : "is-bad"}` }, h("div", null, sentence(level.why_over))),
      level.solution.length ? h("li", { class: "solution" }, h("div", null, h("b", null, `A solution with ${level.fewest}:`),
        level.solution.map((line) => h("code", null, line)), h("p", null, sentence(level.why)))) : null,
      next ? h("li", { class: "solution" }, h("div", null, "Next level: ", h("code", null, next), " ",
        h("button", { type: "button", "data-focus": "level-copy", onclick: (event) => copyText(next, event.currentTarget) }, "copy"))) : null,
    ];
  }

  // The line.

  _make() {
    this._line = h("input", { type: "text", id: "command", "aria-label": "Command", "aria-describedby": "offer", "aria-autocomplete": "list",
      autocomplete: "off", spellcheck: "false", autocapitalize: "off", placeholder: "a command, such as: sql n1 SELECT * FROM account (Tab lists them)",
      oninput: () => this._offer(), onfocus: () => this._offer(), onblur: () => (this._offered.hidden = true), onkeydown: (event) => this._key(event) });
    this._offered = h("div", { id: "offer", role: "status", hidden: true });
    this._left = h("span", { id: "left" });
    const button = (label, tip, act) => h("button", { type: "button", "data-tip": tip, onclick: act }, label);
    this._hint = button("Hint", "One hint more", () => this._ask({ hint: true }));
    this._giveUp = button("Give up", "End this attempt, and see a solution", () => this._ask({ give_up: true }));
    this._again = button("↻ Again", "New nodes, and all commands are there again", () => this._ask({ again: 0 }));
    fill(this._box, h("form", { onsubmit: (event) => {
      event.preventDefault();
      this._send();
    } }, this._left, h("span", { class: "prompt", "aria-hidden": "true" }, "›"), this._line,
    h("button", { type: "submit" }, "Do it")), this._hint, this._giveUp, this._again, this._offered);
  }

  _drawLine(level) {
    this._level = level;
    const left = level.most - level.used;
    fill(this._left, h("b", null, String(left)), ` of ${level.most} left`);
    this._hint.textContent = `Hint (${level.hints_left})`;
    this._hint.disabled = !level.hints_left || Boolean(level.over);
    this._giveUp.disabled = ["reached", "given up"].includes(level.over);
    this._line.disabled = Boolean(level.over);
    this._box.classList.toggle("is-over", Boolean(level.over));
  }

  async _send() {
    const line = this._line.value.trim();
    if (!line || this._busy) return;
    let problem = "";
    await this._ask({ line }, (said) => (problem = said));
    if (this._typed[this._typed.length - 1] !== line) this._typed.push(line);
    this._back = 0;
    // What was wrong stays, to be mended; what was done is over.
    if (problem) this._tell(problem);
    else {
      this._line.value = "";
      this._offer();
    }
  }

  async _ask(what, tell = (said) => this._tell(said)) {
    this._busy = true;
    await this._on.ask(what, tell);
    this._busy = false;
    if (!this._line.disabled) this._line.focus({ preventScroll: true });
  }

  /** What is wrong; it goes when something is typed. */
  _tell(said) {
    fill(this._offered, h("span", { class: "problem" }, sentence(said)));
    this._offered.hidden = false;
  }

  _words() {
    const typed = this._line.value.slice(0, this._line.selectionStart);
    return completions(typed, this._level ? this._level.verbs : [], this._help, this._nodes);
  }

  /** Offer what may stand next, and how the command is written. */
  _offer() {
    const words = this._words();
    const verb = this._line.value.trim().split(" ")[0];
    const known = this._help.verbs.find((one) => one.verb === verb);
    fill(this._offered,
      known ? h("div", null, h("code", null, known.usage), h("span", { class: "note" }, ` ${HERE[verb] || known.help}`)) : null,
      words.length ? h("div", { class: "words" }, h("kbd", null, "Tab"), words.slice(0, known ? MOST_OFFERED : words.length).map((word) =>
        h("button", { type: "button", tabindex: "-1", onmousedown: (event) => {
          event.preventDefault();
          this._complete(word);
        } }, word)), known && words.length > MOST_OFFERED ? "…" : null) : null);
    const isNew = this._line.value || !this._typed.length;
    this._offered.hidden = !isNew || (!known && !words.length);
  }

  _complete(word) {
    const at = this._line.selectionStart;
    const begin = this._line.value.lastIndexOf(" ", at - 1) + 1;
    this._line.setRangeText(`${word} `, begin, at, "end");
    this._offer();
  }

  _key(event) {
    if (event.key === "Tab" && !event.shiftKey && !this._line.value && this._offered.hidden) {
      event.preventDefault();
      this._offered.hidden = false;
    } else if (event.key === "Tab" && !event.shiftKey && this._line.value.trim() && !this._offered.hidden) {
      const words = this._words();
      if (!words.length) return;
      event.preventDefault();
      this._complete(words[0]);
    } else if (event.key === "Escape") this._offered.hidden = true;
    else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      event.preventDefault();
      this._back = Math.min(Math.max(this._back + (event.key === "ArrowUp" ? 1 : -1), 0), this._typed.length);
      this._line.value = this._back ? this._typed[this._typed.length - this._back] : "";
      this._offer();
    }
  }
}
