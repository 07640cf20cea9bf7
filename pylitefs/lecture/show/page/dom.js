// Small helpers for the page's elements. The rule: text goes in as text, never as markup; the one place
// for markup is `safeMarkup`, which keeps what a lesson's prose needs and drops the rest.

/** Make an element: props are attributes, `class`, `data-…`, `on…` functions and `style` objects. */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  setProps(element, props || {});
  appendAll(element, children);
  return element;
}

/** Make an SVG element. */
export function svg(tag, props, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setProps(element, props || {});
  appendAll(element, children);
  return element;
}

function setProps(element, props) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [k, v] of Object.entries(value)) element.style.setProperty(k, v);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

function appendAll(element, children) {
  for (const child of children.flat(3)) {
    if (child === undefined || child === null || child === false || child === "") continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

export function byId(id) {
  return document.getElementById(id);
}

/** Put new children into an element; the focus stays on the child with the same `data-focus`. */
export function fill(element, ...children) {
  const active = document.activeElement;
  const held = active && element.contains(active) ? active.getAttribute("data-focus") : null;
  element.replaceChildren();
  appendAll(element, children);
  if (held) {
    const again = element.querySelector(`[data-focus="${CSS.escape(held)}"]`);
    if (again) again.focus({ preventScroll: true });
  }
}

/** A sentence in which `code` stands between backticks. */
export function sentence(text) {
  return text.split("`").map((piece, index) => (index % 2 ? h("code", null, piece) : piece));
}

/** Who did it; large type leaves the process's number out. */
export function whoOf(who) {
  const [, name, pid] = /^(.*?)( \(pid \d+\))?$/s.exec(who);
  return [name, pid ? h("span", { class: "pid" }, pid) : null];
}

const ALLOWED_TAGS = new Set(
  ("P EM STRONG CODE PRE UL OL LI A H1 H2 H3 H4 BLOCKQUOTE BR HR TABLE THEAD TBODY TR TH TD DEL SUP SUB " +
    "SPAN DIV KBD").split(" "),
);

/** A lesson's prose as elements: only harmless tags, no attributes but a link's http address, or what it shows. */
export function safeMarkup(html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  const clean = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return [node.textContent];
    if (node.nodeType !== Node.ELEMENT_NODE || ["SCRIPT", "STYLE"].includes(node.tagName)) return [];
    const children = [...node.childNodes].flatMap(clean);
    if (!ALLOWED_TAGS.has(node.tagName)) return children;
    const props = {};
    const href = node.getAttribute("href") || "";
    if (node.tagName === "A" && href.startsWith("look:")) {
      return [h("button", { type: "button", class: "look", "data-look": href.slice(5), "data-tip": "Show it" }, ...children)];
    }
    if (node.tagName === "A" && /^https?:/.test(href)) {
      Object.assign(props, { href, target: "_blank", rel: "noopener noreferrer" });
    }
    return [h(node.tagName.toLowerCase(), props, ...children)];
  };
  return [...parsed.body.childNodes].flatMap(clean);
}

/** The size of 1rem in pixels: what canvas drawings and windowed rows go by. */
export function rem() {
  return parseFloat(getComputedStyle(document.documentElement).fontSize);
}

/** A colour of the theme, by its custom property. */
export function themeColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** The first and the last-plus-one row that a scroller of equally high rows shows, with some to spare. */
export function rowsInView(scroller, rowHeight, count) {
  const from = Math.max(0, Math.floor(scroller.scrollTop / rowHeight) - 6);
  const to = Math.min(count, Math.ceil((scroller.scrollTop + scroller.clientHeight) / rowHeight) + 6);
  return [Math.min(from, count), to];
}

/** 75 s → "1:15"; for what is held, and for the time axis. */
export function minutes(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** Copy text; says in the button whether it went well. */
export async function copyText(text, button) {
  const before = button.textContent;
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { class: "offscreen" }, text);
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.textContent = done ? "copied" : "select and copy by hand";
  setTimeout(() => (button.textContent = before), 1500);
}

/** Scroll a list, and nothing around it, until one of its items shows. */
export function keepInViewOf(list, item) {
  const top = item.getBoundingClientRect().top - list.getBoundingClientRect().top + list.scrollTop;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + item.offsetHeight > list.scrollTop + list.clientHeight) {
    list.scrollTop = top + item.offsetHeight - list.clientHeight;
  }
}
