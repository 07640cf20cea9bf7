// What the prose points at: a link `look:n1/ltx/post-apply`, or the command `look` of the step, shows a node, a
// page, a lock, or the bytes of a field. The rule: it is found as lecture/looking.py finds it, by what was shown
// up to the entry that is looked at; what is not there yet is said.

/** A field's name as a lesson writes it. */
function lookSlug(name) {
  return name.toLowerCase().split(/\s+/).filter(Boolean).join("-");
}

function isNamed(field, wanted) {
  const found = lookSlug(field);
  return found === wanted || found.startsWith(`${wanted}-`);
}

/** What a link points at after entry `at`: {node, page | lock | key, offset}; null if that is not there. */
export function findLook(history, at, text) {
  const [node, what, name, number] = text.split("/").filter(Boolean);
  if (!history.nodes(at).includes(node)) return null;
  if (!what) return { node };
  if (what === "page") return findPage(history, at, node, Number(name));
  if (what === "lock") return findLock(history, at, node, name);
  return findBytes(history, at, { node, what, name: (name || "").toLowerCase(), number: Number(number || 0) });
}

function findPage(history, at, node, page) {
  const has = (database) => history.value(`page/${node}/${database}/${page}`, at) !== null ||
    (history.value(`db/${node}/${database}/pages`, at) || 0) >= page;
  return history.databases(node, at).some(has) ? { node, page } : null;
}

function findLock(history, at, node, lock) {
  const held = history.databases(node, at).flatMap((database) => history.value(`db/${node}/${database}/locks`, at) || []);
  return held.some((one) => one.lock === lock) ? { node, lock } : null;
}

function findBytes(history, at, { node, what, name, number }) {
  for (const { key, id } of history.dumpsAt(at)) {
    const dump = history.dumps.get(id);
    if (dump.format !== what || !key.split(" ")[0].split(">").includes(node)) continue;
    if (!name) return { node, key, offset: null };
    const parts = dump.parts.filter((part) => isNamed(part[2], name)).sort((a, b) => a[0] - b[0]);
    // A page opened from disk may have had to leave bytes out: then the file alone is shown.
    if (!dump.parts.length && !dump.data) return { node, key, offset: null };
    if (parts.length >= Math.max(number, 1)) return { node, key, offset: parts[(number || parts.length) - 1][0] };
  }
  return null;
}

/** The target of the newest `look` of the stretch; "" if there is none. */
export function lookOf(history, at, from) {
  for (let index = at; index >= Math.max(0, from); index--) {
    const { name, kind, detail } = history.entries[index];
    if (kind === "command" && name === "look" && detail.look) return detail.look;
  }
  return "";
}

/** Keeps what is pointed at, and marks it among the nodes whenever they were drawn. */
export class Looking {
  constructor(nodes, bytes) {
    this._nodes = nodes;
    this._bytes = bytes;
    this._clicked = { at: -1, found: null };
    this._place = "";
  }

  /** What is pointed at after entry `at`: what a link showed there, else the step's own `look`. */
  _found(history, at, from) {
    if (this._clicked.at === at) return this._clicked.found;
    const text = at < 0 ? "" : lookOf(history, at, from);
    return text ? findLook(history, at, text) : null;
  }

  /** A link was clicked: show it. "bytes" if the bytes have it, "nodes" if the nodes have, "" if it is not there. */
  show(history, at, text) {
    const found = at < 0 ? null : findLook(history, at, text);
    if (!found) return "";
    this._clicked = { at, found };
    this._place = "";
    return found.key ? "bytes" : "nodes";
  }

  /** The bytes that the step's `look` is about are shown; false if it is about none. */
  follow(history, at, from) {
    const found = this._found(history, at, from);
    if (!found || !found.key) return false;
    this._bytes.follows = false;
    return true;
  }

  /** After the nodes and the bytes are drawn. */
  draw(history, at, from, seesBytes) {
    const found = this._found(history, at, from);
    if (!found || !found.key) this._place = "";
    if (!found) return;
    if (found.key) {
      const place = `${at} ${found.key} ${found.offset}`;
      if (seesBytes && this._place !== place) this._bytes.lookAt(found.key, found.offset);
      if (seesBytes) this._place = place;
      return;
    }
    const card = this._nodes.querySelector(`[data-node="${CSS.escape(found.node)}"]`);
    const parts = card ? [...card.querySelectorAll(found.page ? ".page" : found.lock ? ".lock" : "h2")] : [];
    const wanted = found.page ? (one) => one.dataset.tip.startsWith(`page ${found.page}:`)
      : found.lock ? (one) => one.textContent.endsWith(found.lock) : () => true;
    const marked = parts.filter(wanted);
    for (const one of marked) one.classList.add("looked-at");
    if (marked[0] && this._clicked.at === at) marked[0].scrollIntoView({ block: "nearest" });
  }
}
