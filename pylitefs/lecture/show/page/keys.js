// The keys: a clicker's first, then those of a keyboard. The rule: PageDown and PageUp step wherever the
// focus is; letters and arrows keep their own meaning in text fields and in what is moved by arrows.
import { fill, h } from "./dom.js";

export const KEY_HELP = [
  ["PageDown → space", "Next: through the history until it is live, then the lesson's next step"],
  ["PageUp ←", "Back, to look at what was before; the nodes stay where they are"],
  [". ,", "one event on, one event back"],
  ["Home End", "the beginning; the newest"],
  ["1 … 9", "answer the question"],
  ["b r x e f", "bytes, rows, checksum (XOR), events, break things; z follows the step again"],
  ["[ ] c", "in the bytes: field before, field after, next change; arrows move by byte and row"],
  ["p", "pause, or run"],
  ["a", "again from a step: new nodes, everything before it done again, with or without what you did"],
  ["+ −", "zoom the space-time diagram"],
  ["o s", "open all runs of like events, or fold them; the legend of the signs"],
  ["l", "large type"],
  ["d", "dark or light"],
  ["?", "these keys; Esc closes"],
];

/** So many of a person's lines are shown in a dialog. */
const MOST_LINES = 8;

const STEP_KEYS = { PageDown: "next", PageUp: "back" };
const FREE_KEYS = {
  ArrowRight: "next", ArrowLeft: "back", " ": "next", ".": "forward", ",": "backward", Home: "start", End: "end",
  b: "tab-bytes", r: "tab-rows", x: "tab-checksum", e: "tab-events", f: "tab-faults", z: "follow", p: "pause", a: "again",
  "+": "zoom-in", "=": "zoom-in", "-": "zoom-out", l: "large", d: "theme", "?": "keys", o: "folds", s: "signs",
};

/** Call `act(name, event)` for every key that means something where the focus is. */
export function listenForKeys(act) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]")) {
      if (event.key in STEP_KEYS) event.preventDefault();
      return;
    }
    const what = keyMeaning(event);
    if (!what) return;
    event.preventDefault();
    if (event.repeat && ["next", "pause", "again"].includes(what)) return;
    act(what);
  }, true);
}

function keyMeaning(event) {
  if (event.key in STEP_KEYS) return STEP_KEYS[event.key];
  const target = event.target;
  const tag = target.tagName;
  if (tag === "TEXTAREA" || (tag === "INPUT" && target.type === "text")) return null;
  if (/^[1-9]$/.test(event.key)) return `answer-${event.key}`;
  const movedByArrows = tag === "SELECT" || tag === "INPUT" || target.closest("#hex, #fields, .events, .xor, #tabs, #diagram");
  if (movedByArrows && (/^(Arrow|Home|End)/.test(event.key) || (event.key === "c" && target.id === "hex"))) return null;
  if (event.key === " " && (tag === "BUTTON" || tag === "SELECT" || tag === "INPUT") && !target.closest("#bar")) return null;
  if (event.key === " " && target.id === "back") return null;
  return FREE_KEYS[event.key] || (event.key.length === 1 ? FREE_KEYS[event.key.toLowerCase()] : null) || null;
}

/** The list of keys, in a dialog. */
export function showKeys(dialog) {
  fill(dialog, h("h2", null, "Keys"), h("table", { class: "keys" }, h("tbody", null, KEY_HELP.map(([keys, words]) =>
    h("tr", null, h("th", { scope: "row" }, keys.split(" ").map((key) => [h("kbd", null, key), " "])), h("td", null, words))))),
  h("form", { method: "dialog" }, h("button", { autofocus: true }, "close")));
  dialog.showModal();
}

/** Choose the step to begin again from, in a dialog. */
export function showAgain(dialog, steps, current, textOf, again) {
  const choice = h("select", { id: "again-step", "aria-label": "Step", size: String(Math.min(12, Math.max(3, steps.length))) },
    steps.map((step) => h("option", { value: step.index, selected: step.index === current },
      `${step.index + 1}  ${textOf(step, current).split("\n")[0]}`)));
  fill(dialog, h("h2", null, "Again from a step"),
    h("p", null, "New, empty nodes; everything before the step is done again. What is shown now is forgotten."),
    h("form", { method: "dialog", onsubmit: (event) => {
      if (event.submitter && event.submitter.value === "go") setTimeout(() => again(Number(choice.value)), 0);
    } }, choice, h("div", { class: "dialog-buttons" }, h("button", { value: "go" }, "again"), h("button", { value: "" }, "cancel"))));
  choice.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    dialog.close();
    again(Number(choice.value));
  });
  dialog.showModal();
  choice.focus();
}

/** Ask whether what a person did beside the lesson is to be done again too; `lines` is that. */
export function showAgainWith(dialog, step, lines, choose) {
  const [with_, without] = ["with", "without"];
  fill(dialog, h("h2", null, `Again from step ${step + 1}`),
    h("p", null, lines.length === 1 ? "You did this beside the lesson:" : "You did these beside the lesson:"),
    h("ul", { class: "yours" }, lines.slice(0, MOST_LINES).map((line) => h("li", null, h("code", null, line))),
      lines.length > MOST_LINES ? h("li", null, `and ${lines.length - MOST_LINES} more`) : null),
    h("p", null, "Do it again too?"),
    h("form", { method: "dialog", onsubmit: (event) => {
      const value = event.submitter ? event.submitter.value : "";
      if (value) choose(value === with_);
    } }, h("div", { class: "dialog-buttons" },
      h("button", { value: without, autofocus: true }, "without what I did"),
      h("button", { value: with_ }, "with what I did"),
      h("button", { value: "" }, "cancel"))));
  dialog.showModal();
}
