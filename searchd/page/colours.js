/* Colours of pictures that were indexed before the library kept them: the mean of the
 * thumbnail, read when the browser has nothing better to do, for the next visit. */
import { kept } from './dom.js';

const MOST = 20_000; // of a library; about 250 kB

let library = '';
let known = new Map(); // id -> "rrggbb"
let waiting = [];
let changed = false;
let paint = null;

const idle = window.requestIdleCallback ?? ((f) => setTimeout(f, 200));
const hex = (n) => n.toString(16).padStart(2, '0');

function read() {
  paint ??= Object.assign(document.createElement('canvas'), { width: 1, height: 1 })
    .getContext('2d', { willReadFrequently: true });
  for (const [id, image, from] of waiting) {
    if (!image.naturalWidth || known.size >= MOST || from !== library) continue;
    paint.drawImage(image, 0, 0, 1, 1);
    const [r, g, b] = paint.getImageData(0, 0, 1, 1).data;
    known.set(id, hex(r) + hex(g) + hex(b));
    changed = true;
  }
  waiting = [];
}

function save() {
  if (changed) kept('colours.' + library, [...known].map(([id, colour]) => id + colour).join(' '));
  changed = false;
}

addEventListener('visibilitychange', () => { if (document.hidden) save(); });
addEventListener('pagehide', save);

/* Ids are of one library. */
export function coloursOf(name) {
  save();
  library = name;
  known = new Map();
  for (const [, id, colour] of (kept('colours.' + name) ?? '').matchAll(/(\d+)([0-9a-f]{6})(?: |$)/g)) known.set(Number(id), colour);
}

export function learnColour(id, image) {
  if (known.has(id)) return;
  if (!waiting.length) idle(read);
  waiting.push([id, image, library]);
}

export const colourOf = (id) => (known.has(id) ? '#' + known.get(id) : null);
