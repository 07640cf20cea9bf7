// What is given up for what: at every size the bytes keep eight rows and a question all of its choices.
// The rule: nothing that the prose points at (checksums, paths, fields) is ever given up. What goes first is
// air, then what is said elsewhere too; the stylesheet has the levels (`[data-fit]`).
import { ROW_REM } from "./bytes.js";
import { rem } from "./dom.js";

const FEWEST_ROWS = 8;
const MOST_SUM_ROWS = 14;
const MOST_LEVEL = 6;
const SMALLEST_PROSE = 0.7;

/** Make what is shown fit: `asks` says that a question, or the end, covers the panels. */
export class Fitting {
  constructor(show, lesson) {
    this._show = show;
    this._lesson = lesson;
    this._place = "";
    this._level = 0;
    this._height = 0;
  }

  /** After everything is drawn. `panel` is what is seen below the nodes; `rows` how high a row of bytes is. */
  fit(panel, asks) {
    const cards = this._show.querySelector(".cards");
    const place = `${innerWidth} ${innerHeight} ${document.documentElement.className} ${cards ? cards.children.length : 0} ${asks}`;
    if (place !== this._place) Object.assign(this, { _place: place, _level: 0, _height: 0 });
    const set = (level, height) => {
      this._show.dataset.fit = String(level);
      document.body.dataset.fit = String(level);
      if (cards) cards.style.minHeight = height && !asks ? `${height}px` : "";
    };
    // The cards stay as high as they have been, so that what is below them does not jump; if there is room.
    set(this._level, this._height);
    if (!this._fits(panel, asks)) {
      set(this._level, (this._height = 0));
      while (this._level < MOST_LEVEL && !this._fits(panel, asks)) set(++this._level, 0);
    }
    if (cards && !asks) this._height = Math.max(this._height, cards.offsetHeight);
    this._fitProse();
  }

  _fits(panel, asks) {
    if (asks) return panel.scrollHeight <= panel.clientHeight + 1;
    const row = Math.round(rem() * ROW_REM);
    const hex = panel.querySelector("#hex");
    // A sum of a few pages is seen to its end; a long one scrolls.
    const sum = panel.id === "panel-checksum" && panel.scrollHeight <= MOST_SUM_ROWS * row ? panel.scrollHeight - 1 : 0;
    return (hex || panel).clientHeight >= Math.max(FEWEST_ROWS * row, sum);
  }

  /** A clicker cannot scroll: prose that is longer than its place is written smaller. */
  _fitProse() {
    const prose = this._lesson.querySelector("#prose");
    const key = `${innerWidth} ${innerHeight} ${this._lesson.clientHeight} ${document.documentElement.className} ${prose.dataset.shown}`;
    if (prose.dataset.fitted === key) return;
    prose.dataset.fitted = key;
    const fits = () => prose.scrollHeight <= prose.clientHeight + 1;
    this._lesson.classList.remove("long");
    for (let size = 1.02; size >= SMALLEST_PROSE; size -= 0.04) {
      prose.style.fontSize = `${size.toFixed(2)}rem`;
      if (fits()) break;
      if (size < 0.95) this._lesson.classList.add("long"); // then the summary goes, and all commands but a few
      if (fits()) break;
    }
  }
}
