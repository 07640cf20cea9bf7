// Asks again and again; NGINX sends each request to the next node, also where this browser is pinned to one,
// so every node's line counts along.
const seen = new Map();
const body = document.querySelector("#nodes tbody");
const cell = (text, number) => {
  const td = document.createElement("td");
  td.textContent = text;
  if (number) td.className = "number";
  return td;
};

function show() {
  const newest = [...seen.values()].reduce((most, node) => {
    const txid = BigInt("0x" + (node.txid || "0"));
    return txid > most ? txid : most;
  }, 0n);
  body.replaceChildren(
    ...[...seen.keys()].sort().map((name) => {
      const node = seen.get(name);
      const row = document.createElement("tr");
      row.className = Date.now() - node.at > 3000 ? "gone" : node.role;
      const behind = newest - BigInt("0x" + (node.txid || "0"));
      row.append(cell(name), cell(node.role), cell(node.txid), cell(String(behind), true), cell(node.lag, true));
      return row;
    }),
  );
}

async function ask() {
  try {
    const answer = await fetch("/nodes", { cache: "no-store" });
    if (answer.ok) {
      const node = await answer.json();
      seen.set(node.name, { ...node, at: Date.now() });
    }
  } catch {
    // The server is away; the next round tells.
  }
  show();
  setTimeout(ask, 100);
}

ask();
