// The lecturer's page while students follow: the link as a code, how many are there, and their votes as bars.
//
// The rule: it is the lecturer's page and something beside it. The code is shown until the lecturer goes on,
// and whenever it is asked for; it takes no key and no click from the lecture.
import { byId, fill, h } from "./dom.js";
import { LecturePage } from "./app.js";
import { KEY_HELP } from "./keys.js";
import { drawBars, turnout } from "./ballot.js";

KEY_HELP.push(["q v", "the code for students; their votes, shown or not"]);

class SharingPage extends LecturePage {
  constructor() {
    super();
    this.share = null;
    this.votes = null;
    this.showsCode = true;
    this.showsVotes = true;
    this.box = h("section", { id: "share", "aria-label": "For students: follow on your own device", hidden: true });
    document.body.append(this.box);
    document.addEventListener("keydown", (event) => this._key(event));
  }

  _takers() {
    return { ...super._takers(), votes: (found) => this._takeVotes(found) };
  }

  _hello(found) {
    super._hello(found);
    this.share = found.share;
    this._drawCode();
  }

  _takeVotes(found) {
    this.votes = found;
    this.schedule();
  }

  _key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    if (event.key === "q") this._toggleCode();
    else if (event.key === "v") this._toggleVotes();
  }

  _toggleCode() {
    this.showsCode = !this.showsCode;
    this.schedule();
  }

  _toggleVotes() {
    this.showsVotes = !this.showsVotes;
    this.schedule();
  }

  go(...where) {
    this.showsCode = false;
    super.go(...where);
  }

  async ask(...what) {
    this.showsCode = false;
    return super.ask(...what);
  }

  draw() {
    super.draw();
    this.box.hidden = !this.share || !this.showsCode;
    const count = this.votes ? this.votes.followers : 0;
    if (this.share) {
      byId("badges").append(h("button", { type: "button", id: "tool-share", class: "badge", "data-focus": "tool-share",
        "aria-expanded": String(!this.box.hidden), "data-tip": "The code for students (q)", onclick: () => this._toggleCode() },
      `▦ ${count} ${count === 1 ? "follows" : "follow"}`));
    }
    if (!this.box.hidden) this._drawCode();
    this._drawVotes();
  }

  _drawCode() {
    const { share } = this;
    if (!share || this._drawn === share) return;
    this._drawn = share;
    fill(this.box,
      h("h2", null, "Follow on your own device"),
      share.url ? h("img", { src: share.code, alt: `A QR code of ${share.url}` }) : h("p", null, "This machine has no network address: nobody else reaches it."),
      h("p", { class: "share-url" }, share.url),
      share.others.length ? h("p", { class: "note" }, `Other addresses of this machine: ${share.others.join(", ")}`) : null,
      h("p", { class: "note" }, "No account; votes are anonymous. It goes away when you go on; q shows it again, v hides the votes."),
      h("button", { type: "button", class: "share-close", "aria-label": "Put the code away", onclick: () => this._toggleCode() }, "✕"));
  }

  /** The bars of the question that is seen, if it is the one that was voted on. */
  _drawVotes() {
    const { votes } = this;
    const index = this.history.questionAt(this.cursor);
    const asked = index < 0 ? null : this.history.entries[index].set.question;
    const own = votes && votes.question && asked && votes.counts.length === asked.choices.length && this._isOf(votes, index);
    const box = byId("question");
    drawBars(box, own && this.showsVotes ? votes : null);
    let line = byId("turnout");
    if (line) line.remove();
    if (own) {
      line = h("p", { id: "turnout", class: "note", role: "status" }, turnout(votes), this.showsVotes ? "" : " · v shows how");
      box.append(line);
    }
  }

  /** Whether these votes are on the question that entry `index` asks, or whose answer it is. */
  _isOf(votes, index) {
    const seq = Number(votes.question.split("-")[1]);
    if (seq === index) return true;
    const text = (at) => this.history.entries[at] && this.history.entries[at].set.question && this.history.entries[at].set.question.text;
    return seq < index && text(seq) === text(index);
  }
}

new SharingPage().start();
