// A word that the lesson uses as a term shows its meaning where it comes up first, on hover and on focus.
// The rule: the words are docs/glossary.md's (terms.js); the prose stays as it is written, no word is added.
import { h } from "./dom.js";
import { TERMS } from "./terms.js";

const NOT_IN = new Set(["CODE", "PRE", "A", "BUTTON", "H1", "H2", "H3", "H4", "TH"]);

/** A word as a pattern: also as a plural; in capitals only as it is. The longest is looked for first. */
const PATTERNS = TERMS.map(([word, means]) => {
  const escaped = word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return [new RegExp(`(?<![\\w-])${escaped}(?:e?s)?(?![\\w-])`, word === word.toUpperCase() ? "" : "i"), word, means];
}).sort((a, b) => b[1].length - a[1].length);

const FIRST_IN = new WeakMap();

/** Of each word, the index of the lesson's passage in which it comes up first. */
function firstPassages(header) {
  if (!FIRST_IN.has(header)) {
    const texts = header.sections.map((section) => (section.html || "").replace(/<(code|pre|button|a)\b.*?<\/\1>/gs, " ").replace(/<[^>]*>/g, " "));
    FIRST_IN.set(header, new Map(PATTERNS.map(([pattern, word]) => [word, texts.findIndex((text) => pattern.test(text))])));
  }
  return FIRST_IN.get(header);
}

/** Mark the words that come up first in this passage; `nodes` are its elements, and are given back. */
export function explainTerms(nodes, header, section) {
  const first = firstPassages(header);
  const box = h("div", null, ...nodes);
  for (const [pattern, word, means] of PATTERNS) {
    if (first.get(word) === header.sections.indexOf(section)) markFirst(box, pattern, `${word}: ${means}`);
  }
  return [...box.childNodes];
}

function markFirst(box, pattern, tip) {
  const walker = document.createTreeWalker(box, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, (node) =>
    node.nodeType === Node.ELEMENT_NODE && (NOT_IN.has(node.tagName) || node.className === "term")
      ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const found = node.nodeType === Node.TEXT_NODE && pattern.exec(node.data);
    if (!found) continue;
    const rest = node.splitText(found.index);
    rest.splitText(found[0].length);
    rest.replaceWith(h("span", { class: "term", tabindex: "0", "data-tip": tip }, found[0]));
    return;
  }
}
