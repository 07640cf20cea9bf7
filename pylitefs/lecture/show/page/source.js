// Where the lines come from: the lecture's server (server-sent events, and POST for the buttons), a
// recording in the page itself (gzip or plain, base64), or a recording at a URL.

/** Open whatever this page has. `on`: hello, lines, reset, busy, gone; votes, of a lecture that is shared. */
export async function openSource(on) {
  const inline = document.getElementById("recording");
  const url = new URLSearchParams(location.search).get("recording");
  if (inline && inline.textContent.trim()) {
    on.hello({ live: false, next: JSON.parse(inline.dataset.next || "null") });
    on.lines(parseLines(await unpack(inline.textContent.trim())));
    return new RecordedSource();
  }
  if (url) {
    on.hello({ live: false });
    const answer = await fetch(url);
    on.lines(parseLines(await answer.text()));
    return new RecordedSource();
  }
  return new LiveSource(on);
}

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  // A page that is printed at once brings its lines as they are: unpacking would come too late for it.
  if (bytes[0] !== 0x1f) return new TextDecoder().decode(bytes);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function parseLines(text) {
  return text.split("\n").filter((line) => line.trim()).map((line) => JSON.parse(line));
}

/** A recording: there is nothing to ask of it. */
class RecordedSource {
  async ask() {
    return "This is a recording: it has no nodes.";
  }
}

export class LiveSource {
  constructor(on, address = `events${location.search}`) {
    this._on = on;
    this._waiting = [];
    this._scheduled = false;
    this._seen = "";
    const events = new EventSource(address);
    events.addEventListener("hello", (event) => on.hello(JSON.parse(event.data)));
    events.addEventListener("reset", () => {
      this._waiting = [];
      on.reset();
    });
    events.addEventListener("busy", (event) => {
      this._flush();
      on.busy(JSON.parse(event.data));
    });
    events.addEventListener("problem", (event) => {
      const text = JSON.parse(event.data);
      if (text && on.problem) on.problem(text);
    });
    events.addEventListener("votes", (event) => {
      this._flush();
      if (on.votes) on.votes(JSON.parse(event.data));
    });
    events.addEventListener("end", () => {
      events.close();
      on.gone("The lecture has ended. What was seen stays here to look at.");
    });
    events.onmessage = (event) => {
      this._waiting.push(...parseLines(event.data));
      this._seen = event.lastEventId;
      this._schedule();
    };
    events.onerror = () => {
      const refused = events.readyState === EventSource.CLOSED && on.refused;
      if (refused) on.refused();
      else on.gone("The connection to the lecture is lost; trying again …");
    };
  }

  /** The id of the newest message. */
  get seen() {
    return this._seen;
  }

  /** Lines are handed on in batches: thousands of them are one drawing. */
  _schedule() {
    if (this._scheduled) return;
    this._scheduled = true;
    setTimeout(() => this._flush(), 16);
  }

  _flush() {
    this._scheduled = false;
    const lines = this._waiting;
    this._waiting = [];
    if (lines.length) this._on.lines(lines);
  }

  /** Ask for something; "" if it was done, otherwise why not. */
  async ask(what) {
    try {
      const answer = await fetch(`do${location.search}`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(what),
      });
      const found = await answer.json();
      await this._hasArrived(found.last);
      return found.error || "";
    } catch (error) {
      return `The lecture does not answer: ${error.message}`;
    }
  }

  /** Wait until all that the answer tells of is here too, so that no press comes before it is seen. */
  async _hasArrived(last) {
    if (!last) return;
    const [run, line] = last.split("-").map(Number);
    for (let tries = 0; tries < 150; tries++) {
      const [seenRun, seenLine] = this._seen.split("-").map(Number);
      if (seenRun > run || (seenRun === run && seenLine >= line)) break;
      await new Promise((done) => setTimeout(done, 20));
    }
    this._flush();
  }
}
