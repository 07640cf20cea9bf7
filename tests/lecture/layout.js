// What is wrong with the page as it is laid out now, in words. See layout.py.
() => {
  const bad = [];
  const [wide, high] = [document.documentElement.clientWidth, innerHeight];
  const seen = (one) => one.checkVisibility() && one.getBoundingClientRect().width > 0 && !one.closest('.offscreen');
  const name = (one) => `${one.localName}${one.id ? `#${one.id}` : ''}${[...one.classList].map((c) => `.${c}`).join('')}`
    + ` «${(one.textContent || '').trim().slice(0, 40)}»`;
  const box = (one) => one.getBoundingClientRect();
  const all = (what, root = document) => [...root.querySelectorAll(what)].filter(seen);

  for (const one of [document.documentElement, document.body, ...all('main, #show, #lesson, #panels > div, dialog')]) {
    if (one.scrollWidth > one.clientWidth + 1) bad.push(`scrolls sideways: ${name(one)} by ${one.scrollWidth - one.clientWidth}`);
  }
  // Whatever can be seen is inside of the window, sideways.
  for (const one of all('body *')) {
    const {left, right} = box(one);
    if ((left < -1 || right > wide + 1) && !one.closest('.hex-rows, .events')) bad.push(`outside at ${Math.round(right)}: ${name(one)}`);
  }
  // Text that its box does not hold. What is meant to end in an ellipsis has all of it in its tip.
  const may = '.shell *, .field-value, .events *, .badge.busy, .bytes-head .note, select, option, textarea, input';
  for (const one of all('#top *, #lesson *, #caption *, #invariants *, #nodes *, #tabs *, #panels *, #bar *')) {
    if (one.matches(may) || one.closest('.hex-rows, .ascii')) continue;
    const style = getComputedStyle(one);
    if (style.overflowX !== 'visible' && one.scrollWidth > one.clientWidth + 1) bad.push(`cut: ${name(one)}`);
  }
  for (const what of ['#told', '#caption', '#nodes', '#question', '#end']) {
    for (const one of all(what)) if (one.scrollHeight > one.clientHeight + 2) bad.push(`cut below by ${one.scrollHeight - one.clientHeight}: ${name(one)}`);
  }
  // Each part ends before the next begins, and the bar is in the window.
  const parts = all('#top, main, #time');
  parts.forEach((one, n) => { if (n && box(one).top < box(parts[n - 1]).bottom - 1) bad.push(`covered: ${name(parts[n - 1])}`); });
  const inner = all('#past, #caption, #invariants, #nodes, #lower').sort((a, b) => box(a).top - box(b).top);
  inner.forEach((one, n) => { if (n && box(one).top < box(inner[n - 1]).bottom - 1) bad.push(`covered: ${name(inner[n - 1])}`); });
  for (const one of all('.card')) {
    const end = box(one).bottom + 1;
    for (const child of all('*', one)) if (box(child).bottom > end + 2) { bad.push(`below its card: ${name(child)}`); break; }
  }
  for (const what of ['#next', '#back', '#slider']) {
    const {bottom, top} = box(document.querySelector(what));
    if (bottom > high + 1 || top < 0) bad.push(`not in the window: ${what}`);
  }
  const prose = document.querySelector('#prose');
  if (prose.scrollHeight > prose.clientHeight + 2) bad.push(`the prose scrolls by ${prose.scrollHeight - prose.clientHeight}`);
  // All choices at once.
  for (const one of all('#question')) {
    const {bottom} = box(one);
    for (const choice of all('.choice, .why', one)) if (box(choice).bottom > bottom + 1) bad.push(`below the fold: ${name(choice)}`);
  }
  // At least eight rows of bytes, and beside them the fields.
  for (const one of all('#hex')) {
    const row = one.querySelector('.hex-row');
    const rows = row ? Math.floor(one.clientHeight / box(row).height + 0.05) : 99;
    if (rows < Math.min(8, one.querySelectorAll('.hex-row').length)) bad.push(`${rows} rows of bytes`);
    const fields = document.querySelector('#fields');
    if (!seen(fields) || (fields.children.length && box(fields).width < 130)) bad.push(`no room for the fields: ${Math.round(box(fields).width)}`);
    const explain = document.querySelector('#explain');
    if (explain.scrollHeight > explain.clientHeight + 2 || box(explain).bottom > box(document.querySelector('#panels')).bottom + 1) bad.push('the explanation is cut');
  }
  // What the prose points at is there at every size.
  for (const one of document.querySelectorAll('.card .checksum, .card .mount')) if (!seen(one)) bad.push(`hidden: ${name(one)}`);
  for (const one of all('.lanes:not(.none)')) {
    if (Number(one.querySelector('svg')?.getAttribute('width')) !== one.clientWidth) bad.push('the links are not drawn as wide as the cards');
  }
  return bad;
}
