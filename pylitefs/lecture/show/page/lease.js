// The lease of a cluster that has one: who holds it, with which session, and for how long without a renewal.
// The rule: it is what the lease service says after one entry, and not what a node believes.
import { h } from "./dom.js";

/** The same of the HALT lock, as the primary says; null where nobody has it. */
export function haltBadge(history, at) {
  const halt = history.value("halt", at);
  if (!halt) return null;
  const tip = `The primary has given ${halt.holder} the HALT lock: programs on ${halt.holder} may write, and nobody else's.`;
  return h("span", { class: "badge lease", "data-tip": tip }, h("span", null, "HALT: "), h("b", null, halt.holder));
}

/** Among the badges of the page; null where the primary is one for good. */
export function leaseBadge(history, at) {
  const lease = history.value("lease", at);
  if (!lease) return null;
  const held = Boolean(lease.holder);
  const tip = held
    ? `The lease service says: ${lease.holder} has the lease, by session ${lease.session}…. It ends ${lease.ttl_s} s after it was renewed last.`
    : "The lease service says: nobody has the lease. The first candidate that asks gets it.";
  return h("span", { class: `badge lease${held ? "" : " free"}`, "data-tip": tip },
    h("span", null, "Lease: "), h("b", null, held ? lease.holder : "nobody"),
    held ? h("span", null, " · ", h("span", { class: "more" }, "session "), h("code", null, `${lease.session.slice(0, 4)}…`)) : null,
    h("span", { class: "ttl" }, ` · ${lease.ttl_s} s`),
    history.nodes(at).filter((node) => history.value(`node/${node}/lease`, at) === "cut").map((node) =>
      h("span", { class: "cut", "data-tip": `${node} does not reach the lease service` }, `✂ ${node}`)));
}
