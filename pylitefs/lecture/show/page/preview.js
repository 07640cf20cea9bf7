// The first minute: how the lesson ends, from its recording, while its own nodes start behind it.
// The rule: it says that it is a recording, nothing can be done with it, and the first step of the live lesson
// takes its place for good.
import { fill, h } from "./dom.js";
import { History } from "./history.js";

/** So long it takes to come in. */
export const PREVIEW_MS = 2600;

export class Preview {
  constructor(changed) {
    this.history = null;
    this.began = Date.now();
    this._changed = changed;
    this._over = false;
  }

  /** Get it, unless the lesson has begun. */
  async load(address) {
    if (this._over || this.history) return;
    try {
      const answer = await fetch(address);
      if (!answer.ok) return;
      const lines = (await answer.text()).split("\n").filter((line) => line.trim());
      const history = new History();
      for (const line of lines) history.add(JSON.parse(line));
      if (history.length && !this._over) this.history = history;
      this._changed();
    } catch {
      // then there is none: the page waits for the nodes as it is
    }
  }

  /** Whether it is what is seen; `live` is the lesson's own history. */
  shows(live) {
    if (live.stops.length) this._over = true;
    if (this._over) this.history = null;
    return this.history !== null;
  }

  get last() {
    return this.history.length - 1;
  }
}

/** The line that says so. `busy`: the nodes are starting. */
export function drawPreviewLine(box, preview, busy) {
  box.hidden = false;
  fill(box, h("b", null, "How this lesson ends"), ", from its recording. ",
    busy ? ["Its own nodes are starting behind it (", h("span", { "data-since": preview.began }, "0:00"), "); then the lesson begins."]
      : "Its own nodes are not up: Next starts them.");
}
