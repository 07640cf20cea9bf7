// The event that a step's own `expect … event` names: the lesson says what it speaks of, so the caption tells it.
// The rule: as show/expected.py. Where a question, an answer, a note or an error is to be told, that goes first.

const EXPECTS = /^expect\s+(\S+)\s+event\s+(\S+)\s*([\s\S]*)$/;
const GOES_FIRST = new Set(["question", "answer", "note", "error"]);

/** The index of that event in the stretch that ends at entry `index`, of several the last named; or -1. */
export function expectedEvent(history, index) {
  const from = history.stretchStart(index);
  let found = -1;
  for (let at = index; at >= from; at--) {
    const entry = history.entries[at];
    if (GOES_FIRST.has(entry.kind)) return -1;
    if (found >= 0 || entry.kind !== "command" || entry.name !== "expect") continue;
    const step = history.header.steps[entry.step];
    const [, node, name, text] = EXPECTS.exec(step ? step.text : "") || [];
    for (let before = at - 1; name && before >= from && found < 0; before--) {
      const event = history.entries[before];
      if (event.kind === "event" && event.node === node && event.name === name && event.text.includes(text.trim())) found = before;
    }
  }
  return found;
}
