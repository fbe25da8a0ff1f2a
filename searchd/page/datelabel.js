/* While the library by date scrolls by: which month it is. For the eye alone; every
 * picture tells its date in the full view. */
import { $ } from './dom.js';
import { month } from './strings.js';

const SHOWN = 1200; // ms after the last movement

let timer = 0;

/* item: the first in view, or null where months mean nothing. */
export function passing(item) {
  const node = $('month');
  clearTimeout(timer);
  if (!item?.taken_at) {
    node.hidden = true;
    return;
  }
  node.textContent = month(item.taken_at);
  node.hidden = false;
  timer = setTimeout(() => { node.hidden = true; }, SHOWN);
}
