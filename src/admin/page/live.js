'use strict';
// Puts the pieces of the page in place when the server says that they changed. What they are is
// made there, so this page and the one without a script say the same.
const pulse = document.getElementById('pulse');
const live = document.body.dataset.live;
const silence = 5000;
let heard = 0;

function say(state, words) {
  if (pulse.textContent === words) return;
  pulse.hidden = false;
  pulse.className = state;
  pulse.textContent = words;
}

function element(text) {
  const template = document.createElement('template');
  template.innerHTML = text;
  return template.content.firstElementChild;
}

// What somebody has scrolled or is about to press stays where it is.
function replace(old, fresh) {
  const focus = old.contains(document.activeElement) ? document.activeElement : null;
  const places = [...old.querySelectorAll('[tabindex]')].map((box) => [box.scrollTop, box.scrollLeft]);
  old.replaceWith(fresh);
  [...fresh.querySelectorAll('[tabindex]')].forEach((box, index) => {
    if (places[index]) [box.scrollTop, box.scrollLeft] = places[index];
  });
  if (!focus) return;
  const again = focus.id ? document.getElementById(focus.id)
    : [...fresh.querySelectorAll('a, [tabindex]')].find((box) => box.outerHTML.length && box.textContent === focus.textContent);
  again?.focus({ preventScroll: true });
}

function apply(change) {
  document.title = change.title;
  document.documentElement.dataset.level = change.level;
  const rows = document.getElementById('rows');
  const focused = document.activeElement?.id;
  for (const [id, text] of Object.entries(change.pieces)) {
    // A row by itself is not parsed outside a table.
    const fresh = text.startsWith('<tr') ? element(`<table><tbody>${text}</tbody></table>`).querySelector('tr') : element(text);
    const old = document.getElementById(id);
    if (old) replace(old, fresh);
    else if (rows) rows.append(fresh);
    // An instance that came only now: its page has places that this one has not.
    else return location.reload();
  }
  if (change.rows && rows) {
    const wanted = new Set(change.rows);
    for (const row of [...rows.children]) if (!wanted.has(row.id)) row.remove();
    change.rows.forEach((id, index) => {
      const row = document.getElementById(id);
      if (row && rows.children[index] !== row) rows.insertBefore(row, rows.children[index] ?? null);
    });
    if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }
}

function hear(event) {
  heard = Date.now();
  apply(JSON.parse(event.data));
  say('on', 'live');
}

// What replicas print comes line by line; the box stays where it was scrolled to, at its end most
// of all, which is where it begins.
const lines = 200;

function print(event) {
  const { whole, text } = JSON.parse(event.data);
  const box = document.getElementById('tail');
  if (!box) return;
  if (whole) {
    const template = document.createElement('template');
    template.innerHTML = text;
    if (template.innerHTML !== box.innerHTML) box.replaceChildren(template.content);
    return;
  }
  const list = box.querySelector('ol');
  const height = list.scrollHeight;
  list.insertAdjacentHTML('beforeend', text);
  if (box.scrollTop < -1) box.scrollTop -= list.scrollHeight - height;
  while (list.children.length > lines) list.firstElementChild.remove();
}

const source = new EventSource(live);
source.addEventListener('full', hear);
source.addEventListener('change', hear);
source.addEventListener('output', print);
source.addEventListener('error', () => {
  say('off', 'no connection: what is shown may be old');
  // After a refusal a browser does not try again by itself.
  if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), silence);
});
setInterval(() => {
  if (heard && Date.now() - heard > silence) say('off', 'nothing heard: what is shown may be old');
}, 1000);

// Up and down go from instance to instance.
document.addEventListener('keydown', (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const links = [...document.querySelectorAll('a.open')];
  const at = links.indexOf(document.activeElement);
  if (!step || at < 0) return;
  const next = links[at + step];
  if (next) {
    event.preventDefault();
    next.focus();
  }
});
