// "Break things": a button for each command of the lesson language, with the node to do it to.
// The rule: a button only writes the line that a lesson would; what it writes is shown, and sent as it is.
import { fill, h } from "./dom.js";

const CORRUPTIBLE = ["database", "journal", "wal", "ltx", "link"];

/** What the server says of the language, if it does not. */
const NO_HELP = { verbs: [], tracepoints: {} };

export class FaultPanel {
  constructor(panel, on) {
    this._panel = panel;
    this._on = on;
    this._node = "";
    this._help = NO_HELP;
    this._nodes = [];
    this._draft = { ms: "200", what: "ltx", offset: "", point: "ltx.commit", sql: "SELECT name FROM sqlite_schema", shell: "", line: "" };
  }

  setHelp(help) {
    this._help = { ...NO_HELP, ...help };
    this._drawn = "";
  }

  choose(node) {
    this._node = node;
    this._drawn = "";
  }

  /** Draw for these nodes; `past` says that what is looked at is not the live nodes. */
  show(nodes, live, busy) {
    const drawn = `${nodes.join()} ${live} ${busy}`;
    if (this._drawn === drawn) return;
    this._drawn = drawn;
    this._nodes = nodes;
    if (!nodes.includes(this._node)) this._node = nodes[nodes.length - 1] || "";
    if (!live) {
      fill(this._panel, h("p", { class: "empty" }, "This is a recording: there are no nodes to break. " +
        "pylitefs lecture LESSON runs the lesson on real ones."));
      return;
    }
    fill(this._panel, this._nodeChoice(), h("div", { class: "fault-groups" },
      this._group("The way between nodes",
        this._button("partition", (n) => `partition ${n}`),
        [this._button("delay", (n) => `delay ${n} ${this._draft.ms}ms`), this._input("ms", "milliseconds", 4, "ms")],
        this._button("drop", (n) => `drop ${n}`),
        this._button("heal", (n) => `heal ${n}`)),
      this._group("The node",
        this._button("kill", (n) => `kill ${n}`),
        this._button("restart", (n) => `restart ${n}`),
        this._button("restart as primary", (n) => `restart ${n} as primary`, "restart"),
        this._button("restart as replica", (n) => `restart ${n} as replica of ${this._other(n)}`, "restart")),
      this._group("The lease",
        this._button("expire-lease", () => "expire-lease"),
        this._button("promote", (n) => `promote ${n}`),
        this._button("handoff", (n) => `handoff ${n}`)),
      this._group("The HALT lock",
        this._button("halt", (n) => `halt ${this._at(n)}`),
        this._button("unhalt", (n) => `unhalt ${this._at(n)}`),
        this._button("expire-halt", () => "expire-halt")),
      this._group("Its bytes",
        [this._button("corrupt", (n) => `corrupt ${n} ${this._draft.what} ${this._draft.offset}`.trim()),
          this._select("what", "what to corrupt", CORRUPTIBLE), this._input("offset", "offset of the byte (may be empty)", 5, "offset")]),
      this._group("Go on",
        this._button("step", (n) => `step ${n}`),
        [this._button("run to", (n) => `run-to ${this._draft.point} ${n}`, "run-to"),
          this._select("point", "tracepoint", Object.keys(this._help.tracepoints))],
        this._button("run to commit", (n) => `run-to-commit ${n}`, "run-to-commit"),
        this._button("run", () => "run"),
        this._button("pause", () => "pause")),
      this._group("SQL", [this._button("sql", (n) => `sql ${this._at(n)} ${this._draft.sql}`),
        this._input("shell", "shell's name (may be empty)", 5, "shell"), this._input("sql", "SQL statement", 26)]),
      this._group("Any command", [h("form", { class: "any", onsubmit: (event) => {
        event.preventDefault();
        this._send(this._draft.line);
      } }, this._input("line", "any line of a lesson", 30, "expect n2 at 3"),
      h("button", { type: "submit", "data-focus": "fault-any" }, "do it"))])),
    h("p", { id: "fault-line", class: "note", "aria-live": "polite" },
      busy ? `busy with ${busy} …` : "Each button does what a lesson's command does; the line shows here."));
  }

  _group(name, ...items) {
    return h("fieldset", null, h("legend", null, name), items.map((item) => h("span", { class: "fault" }, item)));
  }

  _nodeChoice() {
    return h("div", { class: "node-choice", role: "radiogroup", "aria-label": "Node" }, h("span", null, "Node "),
      this._nodes.map((node) => h("label", null,
        h("input", { type: "radio", name: "fault-node", value: node, checked: node === this._node, "data-focus": `fault-node-${node}`,
          onchange: () => (this._node = node) }), node)));
  }

  /** The node, or its shell that is named beside `sql`. */
  _at(node) {
    return this._draft.shell ? `${node}/${this._draft.shell}` : node;
  }

  _other(node) {
    return this._nodes.find((other) => other !== node) || "n1";
  }

  _button(label, line, verb) {
    const help = this._help.verbs.find((one) => one.verb === (verb || label)) || { help: "" };
    const preview = () => {
      const place = this._panel.querySelector("#fault-line");
      if (place) fill(place, h("code", null, line(this._node)), ` ${help.help}`);
    };
    return h("button", { type: "button", "data-verb": label, "data-focus": `fault-${label}`, "data-tip": help.help,
      onmouseenter: preview, onfocus: preview, onclick: () => this._send(line(this._node)) }, label);
  }

  _input(name, label, size, hint = label) {
    return h("input", { type: "text", size, value: this._draft[name], "aria-label": label, placeholder: hint,
      "data-focus": `fault-in-${name}`, "data-draft": name, spellcheck: "false", autocomplete: "off",
      oninput: (event) => (this._draft[name] = event.target.value) });
  }

  _select(name, label, options) {
    return h("select", { "aria-label": label, "data-focus": `fault-in-${name}`,
      onchange: (event) => (this._draft[name] = event.target.value) },
    options.map((option) => h("option", { selected: option === this._draft[name] }, option)));
  }

  _send(line) {
    if (line.trim()) this._on.line(line.trim());
  }
}
