// The five sentences that a class should learn, in a row: green while each is so, red from the tracepoint on
// that breaks it, with the reason. The rule: nothing is decided here; the state's `invariants` says it.
import { fill, h } from "./dom.js";

const VERDICTS = {
  holds: ["✓", "It is so."],
  broken: ["✗", "Broken."],
  unknown: ["?", "Not known."],
  none: ["–", ""],
};

/** After entry `at`; `from` is the first entry that is new. A click goes to where a sentence became so. */
export function drawInvariants(box, history, at, from, on) {
  const verdicts = history.value("invariants", at) || [];
  box.hidden = !verdicts.length;
  if (!box.children.length) {
    // A reader of the screen hears what is new in a place that was there before.
    fill(box, h("div", { class: "musts", role: "group", "aria-label": "What must always be so" }),
      h("div", { class: "reasons", role: "status", "aria-live": "polite" }));
  }
  const [row, reasons] = box.children;
  const shown = JSON.stringify(verdicts);
  fill(row, verdicts.map((one) => verdictView(one, from, at, on)));
  if (reasons.dataset.shown !== shown) fill(reasons, reasonsOf(verdicts, history));
  reasons.dataset.shown = shown;
}

function verdictView(one, from, at, on) {
  const [sign, words] = VERDICTS[one.state] || VERDICTS.unknown;
  const said = [one.says, words, one.why].filter(Boolean).join(" ");
  const isNew = one.at >= from && one.at <= at && one.at > 0;
  return h("button", { type: "button", class: `must is-${one.state}${isNew ? " is-new" : ""}`, "data-focus": `must-${one.name}`,
    "data-name": one.name, "data-tip": said, "aria-label": `${one.short}: ${said}`, onclick: () => on.go(one.at) },
  h("span", { class: "sign", "aria-hidden": "true" }, sign), one.short);
}

/** Why those that are red are so, the newest first; what is not known comes after them. */
function reasonsOf(verdicts, history) {
  const told = (state) => verdicts.filter((one) => one.state === state).sort((a, b) => b.at - a.at);
  return [...told("broken"), ...told("unknown")].map((one) => {
    const entry = history.entries[one.at];
    const place = entry && entry.kind === "event" ? `${entry.node} ${entry.name}` : entry ? entry.name : "";
    return h("p", { class: `reason is-${one.state}` }, h("b", null, one.short), " ", h("span", { class: "sign" }, VERDICTS[one.state][0]), " ", one.why,
      place ? [" ", h("code", null, place)] : null);
  });
}
