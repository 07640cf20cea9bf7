// The end of a lesson: what was shown, what was asked and is so, the next lesson, and again.
// The rule: it is made of the history alone; a recording that was cut says that it ends here.
import { copyText, fill, h, sentence } from "./dom.js";

/** Whether all steps of the lesson are done after entry `at`, and no question is open. */
export function isTheEnd(history, at) {
  if (at < 0 || at < history.length - 1) return false;
  const asked = history.value("question", at);
  const open = asked && (asked.answer === null || asked.answer === undefined);
  return !open && history.step(at) >= history.header.steps.length - 1;
}

/** Draw it. `next` is the lesson after this one: {lesson, title, href or command}, or nothing. */
export function drawEnd(box, history, view, next, on) {
  const { title, steps } = history.header;
  const whole = isTheEnd(history, history.length - 1);
  const shown = `${history.length} ${whole} ${view.live} ${view.chosen.size}`;
  if (box.dataset.shown === shown) return;
  box.dataset.shown = shown;
  const passages = passagesOf(history);
  const asked = answered(history);
  fill(box,
    h("h2", null, whole ? `The end of “${title}”` : `The recording ends here, at step ${history.step(history.length - 1) + 1} of ${steps.length}`),
    h("div", { class: "recap" },
      h("section", null, h("h3", null, "What was shown"), h("ol", null, passages.map(([heading, index]) =>
        h("li", null, h("button", { type: "button", class: "passage", "data-tip": "Look back at it", onclick: () => on.go(index) }, heading))))),
      asked.length ? h("section", null, h("h3", null, "What was asked"), h("ul", null, asked.map((one) => questionLine(one, view.chosen)))) : null),
    h("div", { class: "end-buttons" },
      nextView(next),
      h("button", { type: "button", "data-focus": "end-again", onclick: on.again }, "↻ Again from the beginning")));
}

/** The passages of the lesson, each once, with the entry at which it began. */
function passagesOf(history) {
  const { sections, steps } = history.header;
  const found = new Map();
  history.entries.forEach((entry, index) => {
    const step = steps[entry.step];
    const heading = step && sections[step.section] && sections[step.section].heading;
    if (heading && !found.has(heading)) found.set(heading, history.nextStop(index - 1));
  });
  return [...found];
}

/** The questions with their answers, as they were told. */
function answered(history) {
  return history.entries.map((entry) => entry.set.question).filter((one) => one && one.answer !== null && one.answer !== undefined);
}

function questionLine(asked, chosen) {
  const mine = chosen.get(asked.text);
  const verdict = mine === undefined ? null : mine === asked.answer ? h("b", { class: "was-right" }, " ✓ you said so") : h("b", { class: "was-wrong" }, ` ✗ you said ${mine + 1}`);
  return h("li", null, h("span", { class: "note" }, asked.text), " ", h("b", null, sentence(asked.choices[asked.answer])), verdict);
}

function nextView(next) {
  if (!next) return null;
  if (next.href) return h("a", { class: "go-on", href: next.href }, `Next lesson: ${next.title} ▶`);
  return h("span", { class: "go-on-by-hand" }, "Next lesson: ", h("b", null, next.title), " ", h("code", null, next.command), " ",
    h("button", { type: "button", "data-focus": "end-copy", onclick: (event) => copyText(next.command, event.currentTarget) }, "copy the line"));
}
