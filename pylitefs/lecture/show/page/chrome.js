// What is around the lecture: the theme and the type size, tooltips, and messages.
import { byId, fill, h } from "./dom.js";

/** Dark or light (the system's, until one is chosen), and large type; both are remembered. */
export class Appearance {
  constructor(changed) {
    this._changed = changed;
    this._system = matchMedia("(prefers-color-scheme: dark)");
    this._theme = remembered("theme") || "";
    this._large = remembered("large") === "1";
    this._system.addEventListener("change", () => this._apply());
    this._apply();
  }

  toggleTheme() {
    this._theme = this._shown() === "dark" ? "light" : "dark";
    remember("theme", this._theme);
    this._apply();
  }

  toggleLarge() {
    this._large = !this._large;
    remember("large", this._large ? "1" : "0");
    this._apply();
  }

  _shown() {
    return this._theme || (this._system.matches ? "dark" : "light");
  }

  _apply() {
    document.documentElement.dataset.theme = this._shown();
    document.documentElement.classList.toggle("large", this._large);
    requestAnimationFrame(() => this._changed());
  }
}

function remembered(name) {
  try {
    return localStorage.getItem(`pylitefs-${name}`);
  } catch {
    return null; // a page opened from disk may have no storage
  }
}

function remember(name, value) {
  try {
    localStorage.setItem(`pylitefs-${name}`, value);
  } catch {
    // then it holds for this page only
  }
}

/** The words beside whatever has `data-tip`, on hover and on focus; and the entries of the diagram. */
export class Tooltip {
  constructor(box) {
    this._box = box;
    const on = (event) => {
      const found = event.target.closest ? event.target.closest("[data-tip]") : null;
      if (found) this._show([found.dataset.tip], found.getBoundingClientRect());
      else if (event.target.id !== "diagram") this.hide();
    };
    document.addEventListener("mouseover", on);
    document.addEventListener("focusin", (event) => {
      if (event.target.matches(":focus-visible")) on(event);
    });
    document.addEventListener("keydown", () => this.hide(), true);
  }

  /** What the diagram's sign under the pointer stands for. */
  showEntry(entry, event) {
    if (!entry || !event) {
      this.hide();
      return;
    }
    const facts = Object.entries(entry.detail || {}).slice(0, 8);
    const head = `${entry.node} ${entry.name || entry.kind}${entry.txid ? ` · TXID ${entry.txid}` : ""}`;
    this._show([h("b", null, head), h("p", null, entry.text),
      facts.length ? h("p", { class: "note" }, facts.map(([name, value]) => `${name} ${value}`).join(" · ")) : null,
      entry.frame ? h("p", { class: "note" }, `${entry.frame.kind} ${entry.frame.from} → ${entry.frame.to}, ${entry.frame.bytes} bytes`) : null],
    new DOMRect(event.clientX - 4, event.clientY - 8, 8, 16));
  }

  /** What the run under the pointer is. */
  showRun(run, event) {
    this._show([h("b", null, `${run.node}: ${run.label}`), h("p", { class: "note" },
      `entries ${run.first} to ${run.last} · a click ${run.open ? "folds" : "opens"} them`)], new DOMRect(event.clientX - 4, event.clientY - 8, 8, 16));
  }

  hide() {
    this._box.hidden = true;
  }

  _show(content, place) {
    fill(this._box, content);
    this._box.hidden = false;
    const box = this._box.getBoundingClientRect();
    const left = Math.min(Math.max(6, place.left + place.width / 2 - box.width / 2), innerWidth - box.width - 6);
    const above = place.top - box.height - 6;
    this._box.style.left = `${left}px`;
    this._box.style.top = `${above > 4 ? above : place.bottom + 6}px`;
  }
}

let toastTimer = 0;

/** A message over the page; for `ms`, or until it is closed. */
export function showToast(text, ms) {
  const box = byId("toast");
  const close = () => (box.hidden = true);
  fill(box, h("span", null, text), h("button", { type: "button", "aria-label": "Close the message", onclick: close }, "✕"));
  box.hidden = false;
  clearTimeout(toastTimer);
  if (ms) toastTimer = setTimeout(close, ms);
}
