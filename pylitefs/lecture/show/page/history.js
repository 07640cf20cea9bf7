// Everything seen so far: entries, dumps, and how any value stood after any entry.
//
// The rule: nothing here is ever taken back. A key of the state keeps its changes in order, so that the
// value after entry n is one binary search; a slider that moves costs the same at entry 10 as at 10,000.
import { expectedEvent } from "./expected.js";

/** The index of the last item of a sorted list that is at most `wanted`; -1 if there is none. */
export function lastAtMost(list, wanted) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] <= wanted) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** One key's values over time. */
class TimedValue {
  constructor() {
    this.at = [];
    this.values = [];
  }

  put(index, value) {
    if (this.at.length && this.at[this.at.length - 1] === index) this.values[this.values.length - 1] = value;
    else {
      this.at.push(index);
      this.values.push(value);
    }
  }

  get(index) {
    const found = lastAtMost(this.at, index);
    return found < 0 ? null : this.values[found];
  }
}

const TOLD = new Set(["event", "sql", "fault", "error", "note", "question", "answer", "prose"]);

const DULL_FRAMES = new Set(["ready", "heartbeat", "end"]);

/** How much an entry says about its stretch. */
function weightOf(entry, held) {
  if (["question", "answer", "note", "error"].includes(entry.kind)) return 9;
  if ((entry.set.invariants || []).some((one) => one.state === "broken" && one.at === entry.seq)) return 8;
  if (entry.kind === "fault") return entry.name === "stop" ? 3 : 8;
  if (held) return 7;
  if (entry.name === "catchup.decide") return /snapshot/i.test(entry.text) ? 6 : 3;
  if (entry.name === "pos.advance" || entry.name.startsWith("recovery.") || entry.name === "tx.rollback") return 5;
  if (entry.kind === "sql") return 4;
  if (entry.name.startsWith("lock.")) return 1;
  if (entry.frame && DULL_FRAMES.has(entry.frame.kind.toLowerCase())) return 1;
  return 2;
}

export class History {
  constructor() {
    this.header = { title: "", sections: [], steps: [] };
    this.clear();
  }

  /** Forget the entries: a new run begins. */
  clear() {
    this.entries = [];
    this.stops = [];
    this.dumps = new Map();
    this.frames = [];
    this.xors = [];
    this.rows = [];
    this.hasEvents = false;
    this._state = new Map();
    this._dumpKeys = new Map();
    this._framesById = new Map();
    this._databases = new Map();
    this._questions = [];
    this._told = { asked: "", at: -1 };
  }

  /** Take one line of a recording. */
  add(line) {
    if (line.dump) this.dumps.set(line.dump.id, line.dump);
    else if (line.entry) this._addEntry(line.entry);
    else if (line.format !== undefined || line.sections) this.header = line;
  }

  _addEntry(entry) {
    const index = this.entries.length;
    this.entries.push(entry);
    if (entry.stop) this.stops.push(index);
    else if ((entry.name === "expect" || entry.name === "look") && this.stops[this.stops.length - 1] === index - 1) {
      this.stops[this.stops.length - 1] = index; // what is expected after a step belongs to it
    }
    for (const [key, value] of Object.entries(entry.set)) {
      if (!this._state.has(key)) this._state.set(key, new TimedValue());
      this._state.get(key).put(index, value);
      if (key.startsWith("db/")) this._noteDatabase(key);
    }
    if (entry.set.question !== undefined) this._questions.push(index);
    for (const id of entry.dumps) {
      const dump = this.dumps.get(id);
      if (!dump) continue;
      if (!this._dumpKeys.has(dump.key)) this._dumpKeys.set(dump.key, new TimedValue());
      this._dumpKeys.get(dump.key).put(index, id);
    }
    if (entry.xor.length) this.xors.push(index);
    if (entry.rows) this.rows.push(index);
    if (entry.kind === "command" && entry.name === "cluster") this._noteCluster(index);
    if (entry.frame) this._noteFrame(entry.frame, index);
  }

  _noteDatabase(key) {
    const [, node, database] = key.split("/");
    if (!this._databases.has(node)) this._databases.set(node, []);
    const known = this._databases.get(node);
    if (!known.includes(database)) known.push(database);
  }

  /** New nodes: their frames have the ids of the old ones' again, and what those sent does not arrive. */
  _noteCluster(index) {
    for (const frame of this._framesById.values()) frame.ended = index;
    this._framesById.clear();
  }

  _noteFrame(frame, index) {
    let known = this._framesById.get(frame.id);
    if (!known) {
      known = { id: frame.id, from: frame.from, to: frame.to, kind: frame.kind, sent: -1, received: -1, ended: Infinity };
      known.bytes = frame.bytes;
      this._framesById.set(frame.id, known);
      this.frames.push(known);
    }
    if (frame.phase === "receive") known.received = index;
    else if (known.sent < 0) known.sent = index;
  }

  get length() {
    return this.entries.length;
  }

  /** The value of a key of the state after entry `index`, or null. */
  value(key, index) {
    const timed = this._state.get(key);
    return timed ? timed.get(index) : null;
  }

  /** The index of the entry that gave a key the value it has after entry `index`; -1 for none. */
  since(key, index) {
    const timed = this._state.get(key);
    const found = timed ? lastAtMost(timed.at, index) : -1;
    return found < 0 ? -1 : timed.at[found];
  }

  nodes(index) {
    return this.value("nodes", index) || [];
  }

  /** All nodes ever seen, in the order of the newest list that names them. */
  allNodes() {
    return this.value("nodes", this.length - 1) || [];
  }

  /** The databases of a node that have a position, or pages, after entry `index`. */
  databases(node, index) {
    const known = this._databases.get(node) || [];
    return known.filter((name) => ["txid", "pages", "mode", "locks"].some(
      (what) => this.value(`db/${node}/${name}/${what}`, index) !== null));
  }

  /** The shells of a node: [name, last statement]. */
  shells(node, index) {
    const prefix = `sql/${node}/`;
    const found = [];
    for (const [key, timed] of this._state) {
      if (!key.startsWith(prefix)) continue;
      const value = timed.get(index);
      if (value) found.push([key.slice(prefix.length), value]);
    }
    return found;
  }

  /** The newest dump of every key after entry `index`: [{key, id, at}], newest first. */
  dumpsAt(index) {
    const found = [];
    for (const [key, timed] of this._dumpKeys) {
      const which = lastAtMost(timed.at, index);
      if (which >= 0) found.push({ key, id: timed.values[which], at: timed.at[which] });
    }
    return found.sort((a, b) => b.at - a.at);
  }

  /** Messages that have left and not arrived after entry `index`, and whose way still stands. */
  underWay(index) {
    return this.frames.filter((frame) => {
      if (frame.sent < 0 || frame.sent > index || frame.ended <= index) return false;
      if (frame.received >= 0) return frame.received > index;
      return index - frame.sent < 400 && !this._wayEnded(frame, index);
    });
  }

  _wayEnded(frame, index) {
    for (const node of [frame.to, frame.from]) {
      const key = `node/${node}/link`;
      const changed = this.since(key, index);
      const link = this.value(key, index);
      if (changed > frame.sent && link && link.state !== "up") return true;
      if (this.value(`node/${node}/role`, index) === "down") return true;
    }
    return this.entries.slice(frame.sent + 1, index + 1).some(
      (entry) => ["stream.end", "stream.connect"].includes(entry.name) && [frame.to, frame.from].includes(entry.node));
  }

  /** The first entry of the stretch that ends at entry `index`: what one press of Next brought. */
  stretchStart(index) {
    const found = lastAtMost(this.stops, index - 1);
    return found < 0 ? 0 : this.stops[found] + 1;
  }

  /** Where Next goes from entry `index`: the next stop, or the last entry. */
  nextStop(index) {
    const found = lastAtMost(this.stops, index) + 1;
    return found < this.stops.length ? this.stops[found] : this.length - 1;
  }

  /** Where Back goes from entry `index`. */
  previousStop(index) {
    const found = lastAtMost(this.stops, index - 1);
    return found < 0 ? Math.min(0, this.length - 1) : this.stops[found];
  }

  /** The entry to tell of at `index`: what the lesson expects there, or what says most, as what is held now. */
  told(index) {
    const asked = `${index} ${this.length}`;
    if (this._told.asked !== asked) this._told = { asked, at: this._weightiest(index) };
    return this._told.at;
  }

  _weightiest(index) {
    const expected = expectedEvent(this, index);
    if (expected >= 0) return expected;
    let best = index;
    let weight = 0;
    const held = new Map(this.nodes(index).map((node) => [node, this.value(`node/${node}/held`, index) || []]));
    for (let at = index, from = this.stretchStart(index); at >= from; at--) {
      const entry = this.entries[at];
      if (!TOLD.has(entry.kind) || !entry.text) continue;
      const list = held.get(entry.node) || [];
      const found = weightOf(entry, entry.kind === "event" && list.some((one) => one.name === entry.name));
      if (found > weight) [best, weight] = [at, found];
    }
    return best;
  }

  /** The index of the question to show after entry `index`: an open one, or one answered just now; or -1. */
  questionAt(index) {
    const found = lastAtMost(this._questions, index);
    const at = found < 0 ? -1 : this._questions[found];
    const question = at < 0 ? null : this.entries[at].set.question;
    if (!question) return -1;
    const answered = question.answer !== null && question.answer !== undefined;
    return answered && at < this.stretchStart(index) ? -1 : at;
  }

  /** The index of the lesson's command that was run last, -1 before the first. */
  step(index) {
    const value = this.value("lesson/step", index);
    if (value !== null) return value;
    return index >= 0 && this.entries[index] ? this.entries[index].step : -1;
  }

  /** How many transactions a replica's database is behind the primary's: a number, or null. */
  lag(node, database, index) {
    if (this.value(`node/${node}/role`, index) !== "replica") return null;
    const link = this.value(`node/${node}/link`, index);
    const primary = (link && link.to) ||
      this.nodes(index).find((other) => this.value(`node/${other}/role`, index) === "primary");
    if (!primary) return null;
    const there = this.value(`db/${primary}/${database}/txid`, index);
    if (there === null) return null;
    return there - (this.value(`db/${node}/${database}/txid`, index) || 0);
  }
}
