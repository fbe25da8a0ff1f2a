/* The pictures on the page. Only what is near the window is in the document, so that
 * a hundred thousand scroll as a hundred do. Tiles are placed by script; the page's
 * own scrolling moves them. One tile is in the order of Tab; arrow keys go on from
 * it. */
import { $, h, icon } from './dom.js';
import { t } from './strings.js';
import { thumbnail } from './api.js';
import { Layout } from './layout.js';
import { colourOf, learnColour } from './colours.js';
import { badge } from './parts.js';

const AHEAD = 1.2; // screens that are ready above and below
const LINE = 56; // pixels for a line between rows
const TRIES = 3; // of a thumbnail that does not come

export const nameOf = (item) => item.path.split('/').pop();

export class Grid {
  /* calls: open(i), like(item, sign), link(item), needMore(), passing(item): the first in
   * view, when the page was scrolled; pick(item): while pictures are chosen */
  constructor(calls) {
    this.calls = calls;
    this.root = $('grid');
    this.tiles = $('tiles');
    this.shown = new Map(); // index -> tile
    this.current = 0; // the tile that Tab comes to
    this.items = [];
    this.picks = null; // by their ids, while pictures are chosen
    this.goodEnd = null;
    addEventListener('scroll', () => this.soon(), { passive: true });
    new ResizeObserver(() => this.resized()).observe(this.root);
    this.tiles.addEventListener('keydown', (event) => this.key(event));
    this.tiles.addEventListener('click', (event) => this.click(event));
    this.tiles.addEventListener('focusin', (event) => this.focused(event));
  }

  /* The items of another query; the array may grow later. */
  show(items) {
    this.items = items;
    this.goodEnd = null;
    this.done = false;
    this.current = 0;
    this.clear();
    this.layOut();
  }

  /* Pictures are chosen into a map from now on, or (null) opened again. */
  pick(picks) {
    this.picks = picks;
    for (const [i, tile] of this.shown) this.markPick(i, tile);
  }

  markPick(i, tile) {
    const link = tile.querySelector('a');
    const picked = this.picks?.has(this.items[i].id) ?? false;
    tile.classList.toggle('picked', picked);
    if (this.picks) {
      link.setAttribute('role', 'checkbox');
      link.setAttribute('aria-checked', String(picked));
    } else {
      link.removeAttribute('role');
      link.removeAttribute('aria-checked');
    }
  }

  clear() {
    for (const tile of this.shown.values()) tile.remove();
    this.shown.clear();
  }

  /* Items were added to the array, or (goodEnd) it is known where good ones end. */
  grown(goodEnd, done) {
    if (goodEnd !== this.goodEnd && this.placed > goodEnd) this.placed = -1; // anew
    this.goodEnd = goodEnd;
    this.done = done;
    if (this.placed < 0) this.layOut();
    else this.place();
  }

  resized() {
    const width = this.root.clientWidth;
    if (!width || width === this.layout?.width) return;
    const row = this.layout?.rows[this.layout.rowAt(scrollY - this.top())];
    const anchor = scrollY > this.top() && row ? row.from : -1;
    this.layOut();
    if (anchor > 0) scrollTo(0, this.top() + this.layout.rows[this.layout.rowOf(anchor)].top);
  }

  layOut() {
    this.layout = new Layout(this.root.clientWidth || innerWidth);
    this.placed = 0;
    $('lines').replaceChildren();
    this.place();
  }

  place() {
    const end = this.goodEnd;
    if (end !== null && this.placed <= end && end < this.items.length) {
      this.layout.add(this.items.slice(this.placed, end));
      const line = h('p', { class: 'good-end', id: 'good-end' }, h('span', {}, t(end ? 'good_end' : 'no_good')));
      line.style.top = this.layout.cut(LINE) + 'px';
      $('lines').append(line);
      this.placed = end;
    }
    this.layout.add(this.items.slice(this.placed));
    this.placed = this.items.length;
    if (this.done) this.layout.finish();
    // Until more come, the last pictures are not in a row: they wait for their neighbours.
    this.root.style.height = Math.max(0, this.layout.bottom) + 'px';
    for (const [i, tile] of this.shown) if (i >= this.layout.from) this.drop(i, tile);
    this.render();
  }

  top() { return this.root.getBoundingClientRect().top + scrollY; }

  soon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.render();
      const row = this.layout.rows[this.layout.rowAt(scrollY + $('head').offsetHeight - this.top())];
      if (row) this.calls.passing(this.items[row.from]);
    });
  }

  drop(i, tile) {
    const image = tile.querySelector('img');
    if (!image.complete) image.removeAttribute('src'); // no longer wanted
    tile.remove();
    this.shown.delete(i);
  }

  render() {
    const { rows } = this.layout;
    const y = scrollY - this.top();
    const screen = innerHeight;
    const fast = Math.abs(scrollY - (this.lastY ?? 0)) > screen;
    this.lastY = scrollY;
    const first = this.layout.rowAt(y - AHEAD * screen);
    let row = first;
    const wanted = new Set();
    let after = null; // the tile that the next one comes behind
    const focused = document.activeElement;
    for (; row < rows.length && rows[row].top < y + (1 + AHEAD) * screen; row++) {
      const { top, height, from, boxes } = rows[row];
      for (let k = 0; k < boxes.length; k++) {
        wanted.add(from + k);
        const tile = this.shown.get(from + k) ?? this.make(from + k);
        const { style } = tile;
        style.top = top + 'px';
        style.left = boxes[k].left + 'px';
        style.width = boxes[k].width + 'px';
        style.height = height + 'px';
        const next = after ? after.nextSibling : this.tiles.firstChild;
        if (tile !== next) this.tiles.insertBefore(tile, next);
        after = tile;
      }
    }
    for (const [i, tile] of this.shown) {
      if (!wanted.has(i) && !tile.contains(document.activeElement)) this.drop(i, tile);
    }
    // A tile that was moved in the document lost the focus by it.
    if (this.tiles.contains(focused) && document.activeElement !== focused) focused.focus({ preventScroll: true });
    this.fillIn(fast);
    if (!this.done && this.layout.bottom < y + (2 + AHEAD) * screen) this.calls.needMore();
  }

  /* Thumbnails of what is shown; when the page flies by, only once it rests. */
  fillIn(fast) {
    clearTimeout(this.resting);
    if (fast) {
      this.resting = setTimeout(() => this.fillIn(false), 90);
      return;
    }
    const ratio = Math.min(devicePixelRatio || 1, 2);
    for (const [i, tile] of this.shown) {
      const image = tile.querySelector('img');
      if (image.hasAttribute('src')) continue;
      const side = Math.max(parseFloat(tile.style.width), parseFloat(tile.style.height));
      image.src = thumbnail(this.items[i], side * ratio);
    }
  }

  make(i) {
    const item = this.items[i];
    const name = nameOf(item);
    const image = h('img', { alt: name, decoding: 'async', draggable: 'true' });
    const tabindex = i === this.current ? '0' : '-1';
    const like = (sign) => h('button', {
      type: 'button', class: 'like', 'data-sign': sign, tabindex: '-1', title: t(sign > 0 ? 'more_like' : 'less_like'),
      'aria-label': t(sign > 0 ? 'more_like_of' : 'less_like_of', { name }),
    }, icon(sign > 0 ? 'more' : 'less'));
    const tile = h('div', { class: 'tile', role: 'listitem', 'data-i': i, 'aria-posinset': i + 1, 'aria-setsize': '-1' },
      h('a', { href: this.calls.link(item), tabindex }, image, badge(item)), h('span', { class: 'likes' }, like(1), like(-1)));
    const colour = item.colour ?? colourOf(item.id);
    if (colour) {
      tile.style.backgroundColor = colour;
      tile.classList.add('seen');
    }
    let tries = 0;
    image.addEventListener('load', () => {
      tile.classList.add('loaded');
      if (!item.colour) learnColour(item.id, image);
    });
    image.addEventListener('error', () => {
      if (!image.hasAttribute('src')) return;
      if (++tries === TRIES) {
        tile.classList.add('broken');
        if (!tile.querySelector('.sorry')) tile.firstChild.append(h('span', { class: 'sorry', 'aria-hidden': 'true' }, icon('sorry'), name));
        return;
      }
      const { src } = image;
      setTimeout(() => { if (tile.isConnected) image.src = src; }, 600 * tries);
    });
    this.shown.set(i, tile);
    if (this.picks) this.markPick(i, tile);
    return tile;
  }

  click(event) {
    const tile = event.target.closest('.tile');
    if (!tile || event.button || (!this.picks && (event.ctrlKey || event.metaKey || event.shiftKey))) return;
    const i = Number(tile.dataset.i);
    const button = event.target.closest('button');
    event.preventDefault();
    if (this.picks) this.choose(i);
    else if (button) this.calls.like(this.items[i], Number(button.dataset.sign));
    else this.calls.open(i);
  }

  choose(i) {
    this.calls.pick(this.items[i]);
    for (const [k, tile] of this.shown) if (this.items[k].id === this.items[i].id) this.markPick(k, tile); // its other pages
  }

  focused(event) {
    const tile = event.target.closest('.tile');
    if (!tile) return;
    this.tab(this.current, -1);
    this.current = Number(tile.dataset.i);
    this.tab(this.current, 0);
  }

  tab(i, to) {
    for (const node of this.shown.get(i)?.querySelectorAll('a, button') ?? []) node.tabIndex = to;
  }

  /* Makes a picture visible, and the one that has the focus. */
  focus(i) {
    if (i < 0 || i >= this.layout.from) return;
    const row = this.layout.rows[this.layout.rowOf(i)];
    const head = $('head').offsetHeight;
    const top = this.top() + row.top;
    if (top - head - 8 < scrollY) scrollTo(0, top - head - 8);
    else if (top + row.height + 8 > scrollY + innerHeight) scrollTo(0, top + row.height + 8 - innerHeight);
    this.render();
    this.shown.get(i)?.querySelector('a').focus({ preventScroll: true });
  }

  /* The picture above or below: the one whose middle is nearest. */
  beside(i, step) {
    const at = this.layout.rowOf(i);
    const row = this.layout.rows[at];
    const other = this.layout.rows[at + step];
    if (!other) return i;
    const own = row.boxes[i - row.from];
    const middle = own.left + own.width / 2;
    const far = other.boxes.map((box) => Math.abs(box.left + box.width / 2 - middle));
    return other.from + far.indexOf(Math.min(...far));
  }

  key(event) {
    const tile = event.target.closest('.tile');
    if (!tile || event.ctrlKey || event.metaKey || event.altKey) return;
    const i = Number(tile.dataset.i);
    const go = {
      ArrowLeft: () => i - 1, ArrowRight: () => i + 1, ArrowUp: () => this.beside(i, -1),
      ArrowDown: () => this.beside(i, 1), Home: () => 0, End: () => this.layout.from - 1,
    }[event.key];
    if (go) this.focus(go());
    else if (this.picks && event.key === ' ') this.choose(i);
    else if (this.picks) return;
    else if (event.key === '+' || event.key === '-') this.calls.like(this.items[i], event.key === '+' ? 1 : -1);
    else return;
    event.preventDefault();
  }
}
