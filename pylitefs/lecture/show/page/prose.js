// The lesson's text: the passage of the step, its commands with the current one marked, the sentence of
// what just happened, what SQLite alone would do, and the questions to the class.
import { fill, h, keepInViewOf, safeMarkup, sentence, whoOf } from "./dom.js";
import { explainTerms } from "./glossary.js";
import { sidesTable } from "./sides.js";

/** A command without what would give an answer away: neither choices, nor what is expected later on. */
export function commandText(step, done) {
  if (/^ask\b/.test(step.text)) return step.text.split("\n")[0];
  return /^expect\b/.test(step.text) && step.index > done ? "expect …" : step.text;
}

/** The passage and its commands. `on.again` rebuilds the nodes up to a step. */
export function drawLesson(proseBox, stepsBox, history, at, view, on) {
  const { sections, steps, summary } = history.header;
  const done = history.step(at);
  const told = at < 0 ? -1 : history.entries[history.told(at)].step;
  const marked = told >= 0 && told <= done ? told : done;
  const current = steps[marked] || steps[0];
  const which = current ? current.section : 0;
  const heading = sections[which] && sections[which].heading;
  const section = sections.slice(0, which + 1).reverse().find((one) => one.html && one.heading === heading) || sections[which];
  const shown = `${which}:${section ? section.html : ""}`;
  if (proseBox.dataset.shown !== shown) {
    proseBox.dataset.shown = shown;
    fill(proseBox,
      which === 0 && summary ? h("p", { class: "summary" }, summary) : null,
      section && section.heading ? h("h2", null, section.heading) : null,
      section ? explainTerms(safeMarkup(section.html), history.header, section) : null);
    proseBox.scrollTop = 0;
  }
  const following = steps.find((step) => step.index === done + 1);
  fill(stepsBox,
    steps.filter((step) => step.section === which).map((step) => stepItem(step, marked, done, view, on)),
    following && following.section !== which
      ? h("li", { class: "coming" }, "then: ",
        sections[following.section].heading === heading ? "more of this" : sections[following.section].heading || "on") : null,
    !following && steps.length ? h("li", { class: "coming" }, "the end of the lesson") : null);
  const item = stepsBox.querySelector(".is-next") || stepsBox.querySelector(".is-current");
  if (item) keepInViewOf(stepsBox, item);
}

function stepItem(step, marked, done, view, on) {
  const state = step.index === marked ? "is-current" : step.index <= done ? "is-done" : step.index === done + 1 ? "is-next" : "";
  const words = { "is-done": "done: ", "is-current": "now: ", "is-next": "next: " }[state] || "";
  const verb = step.text.split(/\s/)[0];
  return h("li", { class: state, "aria-current": state === "is-current" ? "step" : null },
    h("span", { class: "number" }, h("span", { class: "digits" }, String(step.index + 1))),
    h("span", { class: "offscreen" }, words),
    verb === "expect" && step.index <= done ? h("span", { class: "holds", "data-tip": "it is so" }, "✓") : null,
    h("code", { class: verb === "expect" ? "expect" : "" }, commandText(step, done)),
    view.live
      ? h("button", { type: "button", class: "again", "data-focus": `again-${step.index}`,
        "aria-label": `Again from step ${step.index + 1}`,
        "data-tip": `Again from step ${step.index + 1}: new nodes, all before it done again`,
        onclick: () => on.again(step.index) }, "↻") : null);
}

/** The question itself stands below, in full. */
const BESIDE_A_QUESTION = {
  question: "What comes next? Think first, then press a number.",
  answer: "The answer, and why:",
};

/** What just happened, in a sentence, and what SQLite alone would do. */
export function drawCaption(toldBox, aloneBox, history, at) {
  const entry = at >= 0 ? history.entries[history.told(at)] : null;
  // What the sides show is not said once more.
  const said = entry && entry.sides ? entry.text.split(/(?<=\.) /)[0] : entry && entry.text;
  const text = entry ? BESIDE_A_QUESTION[entry.kind] || said || entry.name : history.header.summary || "";
  const shown = entry ? `${entry.seq}:${text}` : text;
  if (toldBox.dataset.shown !== shown) {
    toldBox.dataset.shown = shown;
    fill(toldBox,
      entry && (entry.kind === "event" || entry.kind === "fault" || entry.kind === "sql" || entry.kind === "error")
        ? h("span", { class: `chip kind-${entry.kind}` }, `${entry.node ? `${entry.node} ` : ""}${entry.name || entry.kind}`) : null,
      " ", sentence(text), entry && entry.who && !text.includes(entry.who) ? h("span", { class: "who" }, " ", whoOf(entry.who)) : null);
  }
  const others = entry ? othersOf(history, at) : 0;
  fill(aloneBox,
    entry && entry.sides ? sidesTable(entry.sides) : entry && entry.alone ? [h("b", null, "SQLite alone: "), sentence(entry.alone)] : h("span", { class: "note" },
      entry ? "" : "Press PageDown, → or space to begin; ? shows the keys."),
    others > 0 ? h("span", { class: "note others" }, ` ${others} more ${others === 1 ? "event" : "events"} in this step`) : null);
}

function othersOf(history, at) {
  let count = -1;
  for (let index = history.stretchStart(at); index <= at; index++) if (history.entries[index].kind === "event") count++;
  return count;
}

/** The question that is open after entry `at`, its choices, what was chosen, and the answer once known; said aloud too. */
export function drawQuestion(box, announcer, history, at, view, on) {
  const index = history.questionAt(at);
  const asked = index < 0 ? null : history.entries[index].set.question;
  if (!asked) {
    box.dataset.shown = announcer.textContent = "";
    return;
  }
  const answered = asked.answer !== null && asked.answer !== undefined;
  const chosen = view.chosen.get(asked.text);
  const shown = `${index}:${answered}:${chosen}`;
  if (box.dataset.shown === shown) return;
  box.dataset.shown = shown;
  box.classList.toggle("answered", answered);
  announcer.textContent = answered
    ? `${verdict(asked, chosen)}The answer is ${asked.answer + 1}: ${asked.choices[asked.answer]}. ${asked.why || ""}`
    : `A question: ${asked.text} ${asked.choices.map((choice, number) => `${number + 1}: ${choice}`).join("; ")}. Press the number.`;
  fill(box,
    h("h2", null, asked.text),
    h("ol", null, asked.choices.map((choice, number) => {
      const right = answered && number === asked.answer;
      const wrong = answered && number === chosen && !right;
      const mark = right ? "✓" : wrong ? "✗" : String(number + 1);
      return h("li", null, h("button", { type: "button", class: `choice${right ? " right" : ""}${wrong ? " wrong" : ""}`,
        disabled: answered, "data-focus": `choice-${number}`, onclick: () => on.answer(number) },
      h("span", { class: "mark" }, mark), h("span", null, sentence(choice)),
      right ? h("span", { class: "offscreen" }, " (right)") : wrong ? h("span", { class: "offscreen" }, " (wrong)") : null));
    })),
    answered
      ? h("p", { class: "why" }, h("b", null, verdict(asked, chosen)), sentence(asked.why || ""))
      : h("p", { class: "note" }, "What do you think? Press the number; Next shows the answer."));
}

/** What is said of a choice once the answer is known. */
function verdict(asked, chosen) {
  if (chosen === undefined) return "";
  return chosen === asked.answer ? "Right. " : "Not so. ";
}
