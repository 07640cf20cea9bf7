// A follower's page: the lecture as it goes on, on a student's own device; to look back, and to vote.
//
// The rule: it is the lecture's page without what commands the nodes; its server would take no command either.
// It shows the newest until somebody looks back, and then stays there until they go on to what is live.
import { byId, fill, h } from "./dom.js";
import { LecturePage } from "./app.js";
import { LiveSource } from "./source.js";
import { drawBars } from "./ballot.js";
import { showToast } from "./chrome.js";

const KEPT = "pylitefs-follower";
const COME_AGAIN_MS = 5000;

class FollowerPage extends LecturePage {
  constructor() {
    super();
    this.votes = null;
    this.voter = "";
    this.note = "";
    byId("next").after(h("button", { id: "to-live", type: "button", onclick: () => this.go(this.history.length - 1) }, "Live ▶▶"));
  }

  async start() {
    const kept = keptVoter();
    const voter = this.voter || (kept.token === token() ? kept.voter : "");
    const address = `events?token=${encodeURIComponent(token())}${voter ? `&voter=${encodeURIComponent(voter)}` : ""}`;
    this.source = new LiveSource({ ...this._takers(), votes: (found) => this._takeVotes(found), refused: () => this._refused() }, address);
  }

  // What comes in.

  _hello(found) {
    this.live = true;
    this.voter = found.voter;
    keepVoter({ token: token(), voter: found.voter });
    document.body.classList.add("live", "follower");
    byId("toast").hidden = true;
    this.schedule();
  }

  /** The lesson's text comes piece by piece, as far as the class has come. */
  _take(lines) {
    let { header } = this.history;
    for (const line of lines) {
      if (line.sections) header = line;
      if (!line.shown) continue;
      for (const [index, text] of line.shown.steps) header.steps[index].text = text;
      for (const [number, heading, html] of line.shown.sections) Object.assign(header.sections[number], { heading, html });
    }
    super._take(lines);
  }

  _takeVotes(found) {
    this.votes = found;
    this.schedule();
  }

  /** The server does not take this page: it is full, or has another token. It is asked again in a while. */
  _refused() {
    showToast("The lecture does not answer this page. If that goes on, scan the code on the lecturer's page again.", 0);
    setTimeout(() => this.start(), COME_AGAIN_MS * (1 + Math.random()));
  }

  // Moving, and voting.

  next() {
    if (this.cursor < this.history.length - 1) super.next();
  }

  async ask() {
    showToast("Only the lecturer goes on. You may look back, and vote.", 2500);
  }

  chooseTab(name) {
    if (name !== "faults") super.chooseTab(name);
  }

  _tabNames() {
    return super._tabNames().filter(([name]) => name !== "faults");
  }

  _actions() {
    const no = () => this.ask();
    return { ...super._actions(), pause: no, again: no };
  }

  /** The entry of the question that is open now; -1 without one. */
  _openQuestion() {
    const index = this.history.questionAt(this.history.length - 1);
    const asked = index < 0 ? null : this.history.entries[index].set.question;
    return asked && (asked.answer === null || asked.answer === undefined) ? index : -1;
  }

  answer(number) {
    const index = this.history.questionAt(this.cursor);
    if (index < 0 || index !== this._openQuestion()) super.answer(number);
    else if (number < this.history.entries[index].set.question.choices.length) this._vote(index, number);
  }

  async _vote(index, number) {
    const { text } = this.history.entries[index].set.question;
    const before = this.chosen.get(text);
    this.chosen.set(text, number);
    this.note = "";
    this.schedule();
    const question = `${this.source.seen.split("-")[0]}-${index}`;
    try {
      const answer = await fetch(`vote?token=${encodeURIComponent(token())}`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ voter: this.voter, question, choice: number }),
      });
      this.note = answer.ok ? "" : (await answer.json()).error;
    } catch {
      this.note = "the lecture does not answer; try again";
    }
    if (this.note && this.chosen.get(text) === number) {
      if (before === undefined) this.chosen.delete(text);
      else this.chosen.set(text, before);
    }
    this.schedule();
  }

  // Drawing.

  draw() {
    super.draw();
    const index = this.history.questionAt(this.cursor);
    const asked = index < 0 ? null : this.history.entries[index].set.question;
    if (!asked) return;
    const box = byId("question");
    const isOpen = index === this._openQuestion();
    const mine = this.chosen.get(asked.text);
    [...box.querySelectorAll(".choice")].forEach((choice, number) => {
      choice.classList.toggle("mine", number === mine);
      if (isOpen) choice.setAttribute("aria-pressed", String(number === mine));
    });
    const line = box.querySelector("p.note");
    if (isOpen && line) fill(line, ...this._voteLine(mine));
    drawBars(box, this._votesOn(asked, index));
  }

  _voteLine(mine) {
    if (this.note) return [h("b", { role: "alert" }, `Not counted: ${this.note}`)];
    if (mine === undefined) return ["What do you think? Tap an answer. Nobody sees whose it is."];
    return [h("b", null, `You say ${mine + 1}. `), "You may change it until the answer is shown."];
  }

  /** The votes, once the answer is shown. */
  _votesOn(asked, index) {
    const { votes } = this;
    if (!votes || votes.open || asked.answer === null || asked.answer === undefined) return null;
    const seq = Number(votes.question.split("-")[1]);
    const voted = this.history.entries[seq] && this.history.entries[seq].set.question;
    return voted && seq <= index && voted.text === asked.text ? votes : null;
  }

  _drawBar() {
    super._drawBar();
    byId("next").textContent = "Next ▶";
    byId("next").disabled = this._atEnd;
    byId("to-live").disabled = this._atEnd;
    byId("to-live").textContent = this._atEnd ? "● live" : this._openQuestion() >= 0 ? "Question ▶▶" : "Live ▶▶";
  }
}

function token() {
  return new URLSearchParams(location.search).get("token") || "";
}

/** A number that this device was given for this lecture, so that a page that is loaded again has one vote still. */
function keptVoter() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) || {};
  } catch {
    return {};
  }
}

function keepVoter(what) {
  try {
    localStorage.setItem(KEPT, JSON.stringify(what));
  } catch {
    // then it holds for this page only
  }
}

new FollowerPage().start();
