// What a step brought comes in one after the other: pages light up as they were written, frames fly as they
// were sent, the timeline grows. The rule: it is a way of showing and no state; any drawing meanwhile goes on
// with it from where it is, and who asks for reduced motion gets all of it at once.

const MS_AN_ENTRY = 90;
const MOST_MS = 1600;
/** How long one thing moves. */
export const ONE_MS = 900;

export class Motion {
  constructor() {
    this._reduced = matchMedia("(prefers-reduced-motion: reduce)");
    this.end();
  }

  /** The entries `from` to `at` of this history come in from now on. */
  begin(history, from, at, most = MOST_MS) {
    this.end();
    if (this._reduced.matches || at < from) return;
    Object.assign(this, { _history: history, _from: from, _at: at, _began: performance.now() });
    this._total = Math.min(most, MS_AN_ENTRY * (at - from));
  }

  end() {
    Object.assign(this, { _history: null, _from: 0, _at: -1, _began: 0, _total: 0 });
  }

  /** Whether entry `at` of this history is what comes in. */
  runs(history, at) {
    return history === this._history && at === this._at && performance.now() < this._began + this._total + ONE_MS;
  }

  /** The milliseconds until an entry comes in; less than 0 if it is there. */
  delay(index) {
    if (index < this._from) return -2 * ONE_MS;
    const part = this._at > this._from ? (index - this._from) / (this._at - this._from) : 0;
    return this._began + part * this._total - performance.now();
  }

  /** The newest entry that has come in; Infinity once all have. */
  get until() {
    const part = this._total ? (performance.now() - this._began) / this._total : 1;
    return part >= 1 ? Infinity : this._from + Math.floor((this._at - this._from) * Math.max(0, part));
  }

  /** Let an envelope fly to its place from (dx) away; null for who wants no motion. */
  fly(element, dx, index) {
    const delay = this.delay(index);
    if (this._reduced.matches || delay < -ONE_MS) return null;
    return element.animate(
      [{ transform: `translate(calc(-50% + ${dx}px), -50%)`, opacity: 0 }, { opacity: 1, offset: 0.06 },
        { transform: "translate(-50%, -50%)", opacity: 1 }],
      { duration: ONE_MS, delay, easing: "ease-in-out", fill: "backwards" });
  }
}
