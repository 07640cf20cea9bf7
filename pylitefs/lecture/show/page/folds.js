// Runs of like events, folded into one sign: "7 locks", "journal 3 pages". The diagram and the table share them.
// The rule: a fold hides no halt. A run ends where Next stops, where a step begins, and where anything else
// happens, so what a step is about is never inside of one.

const FEWEST = 3;

/** What a run of events of this name is called; each gets its entries. */
const NAMES = {
  lock: (run) => `${run.length} locks`,
  "journal.write": (run) => counted("journal", pagesInRun(run), "page", "header"),
  "page.write": (run) => counted("", pagesInRun(run), "page", `${run.length} writes`),
  "page.apply": (run) => counted("applied", pagesInRun(run), "page", ""),
  "wal.frame": (run) => counted("WAL", new Set(run.map((entry) => entry.detail.frame)).size, "frame", ""),
  "lease.renew": (run) => `${run.length} renewals`,
};

function counted(what, count, unit, none) {
  return `${what} ${count ? `${count} ${unit}${count === 1 ? "" : "s"}` : none}`.trim();
}

/** How many pages the entries name of which more than the number was written. */
function pagesInRun(run) {
  const isPage = ({ detail }) => detail.pgno && String(detail.parts || "page").split(", ").includes("page");
  return new Set(run.filter(isPage).map((entry) => String(entry.detail.pgno))).size;
}

/** What an entry can be in a run with; "" for none. */
function kindOf(entry) {
  if (entry.kind !== "event" || !entry.node) return "";
  const kind = entry.name.startsWith("lock.") ? "lock" : entry.name;
  return kind in NAMES ? `${kind} ${entry.node} ${entry.step}` : "";
}

export class Folds {
  constructor(changed) {
    this.version = 0;
    this._changed = changed;
    this._open = new Set();
    this._all = false;
    this._entries = null;
    this._length = -1;
    this._runs = [];
  }

  /** The runs of a history, in order: {first, last, label, node, open}. */
  runs(history) {
    if (this._entries !== history.entries || this._length > history.length) {
      this._open.clear();
      this._runs = [];
      this._length = 0;
      this._entries = history.entries;
      this.version++;
    }
    if (this._length < history.length) this._follow(history);
    return this._runs;
  }

  /** Take in what is new: from the last run's beginning on, which may have grown. */
  _follow(history) {
    const { entries } = history;
    let first = 0;
    if (this._length > 0) {
      first = this._length - 1;
      while (first > 0 && !isNewRun(entries, first)) first--;
      while (this._runs.length && this._runs[this._runs.length - 1].last >= first) this._runs.pop();
    }
    for (let at = first + 1; at <= entries.length; at++) {
      if (at < entries.length && !isNewRun(entries, at)) continue;
      if (at - first >= FEWEST && kindOf(entries[first])) this._runs.push(this._run(entries, first, at - 1));
      first = at;
    }
    this._length = entries.length;
    this.version++;
  }

  _run(entries, first, last) {
    const run = entries.slice(first, last + 1);
    const name = run[0].name.startsWith("lock.") ? "lock" : run[0].name;
    return { first, last, label: NAMES[name](run), node: run[0].node, open: this._all !== this._open.has(first) };
  }

  /** The run that an entry is in, or null. */
  runOf(history, at) {
    const runs = this.runs(history);
    let [low, high] = [0, runs.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (runs[middle].last < at) low = middle + 1;
      else high = middle;
    }
    const found = runs[low];
    return found && found.first <= at ? found : null;
  }

  /** Open a run, or fold it again. */
  toggle(run) {
    if (this._open.has(run.first)) this._open.delete(run.first);
    else this._open.add(run.first);
    run.open = !run.open;
    this.version++;
    this._changed(run);
  }

  /** Open all of them, or fold all. */
  toggleAll() {
    this._all = !this._all;
    this._open.clear();
    for (const run of this._runs) run.open = this._all;
    this.version++;
    this._changed(null);
  }

  /** Whether all are open unless one was folded. */
  get all() {
    return this._all;
  }
}

function isNewRun(entries, at) {
  const kind = kindOf(entries[at]);
  return !kind || kind !== kindOf(entries[at - 1]) || entries[at - 1].stop;
}
