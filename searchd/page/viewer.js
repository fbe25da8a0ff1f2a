/* One picture in full: a modal dialog with the keyboard's keys, swipes and what is
 * known of the picture. */
import { $, h, icon, iconButton, kept } from './dom.js';
import { bytes, clock, count, percent, t, when, whenHere } from './strings.js';
import { thumbnail } from './api.js';
import { nameOf } from './grid.js';
import { aloud, isFilm, pageOf, partOf, partSaid, withPart } from './parts.js';
import { Said } from './said.js';
import { Turner } from './turner.js';

const SWIPE = 48; // pixels
const SHOWN = ['JPEG', 'PNG', 'GIF', 'WebP', 'AVIF', 'BMP']; // by every browser

/* A path breaks at its slashes. */
const breakable = (text) => text.split(/(?<=\/)/).flatMap((part) => [part, h('wbr')]);

export class Viewer {
  /* calls: closed(i), moved(item), like(item, sign), filter(name, value), tag(label),
   * tagged(), at(i): a promise of item i or null, total(): number or null */
  constructor(calls) {
    this.calls = calls;
    this.dialog = $('viewer');
    this.i = -1;
    this.build();
  }

  get open() { return this.dialog.open; }

  build() {
    const button = (name, key, what, more) => iconButton(name, t(key), what, more);
    this.back = button('previous', 'previous', () => this.step(-1), { class: 'round side previous' });
    this.forth = button('next', 'next', () => this.step(1), { class: 'round side next' });
    this.image = h('img', { class: 'big', alt: '', draggable: 'false' });
    this.broken = h('p', { class: 'broken-note', hidden: true }, t('not_shown'));
    this.turner = new Turner({ turned: (part) => this.turned(part) });
    this.stage = h('div', { class: 'stage' }, this.image, this.broken, this.turner.node);
    this.place = h('span', { class: 'place', 'aria-live': 'polite' });
    this.info = button('info', 'info', () => this.toggle(), { 'aria-expanded': 'false', 'aria-controls': 'details' });
    this.fileLink = h('a', { class: 'round', target: '_blank', rel: 'noopener', 'aria-label': t('open_file'), title: t('open_file') });
    this.fileLink.append(icon('open'));
    this.saveLink = h('a', { class: 'round', 'aria-label': t('download'), title: t('download') });
    this.saveLink.append(icon('download'));
    const like = (sign) => h('button', { type: 'button', class: 'pill', 'data-sign': sign, onclick: () => this.calls.like(this.item, sign) },
      icon(sign > 0 ? 'more' : 'less'), h('span', {}, t(sign > 0 ? 'more_like' : 'less_like')));
    this.said = new Said({ tag: (label) => this.calls.tag(label), changed: () => this.calls.tagged() });
    this.details = h('aside', { id: 'details', class: 'details', 'aria-label': t('info'), hidden: true });
    this.dialog.append(
      h('div', { class: 'top' }, button('close', 'close', () => this.close()), this.place,
        h('span', { class: 'likes-wide' }, like(1), like(-1)), this.fileLink, this.saveLink, this.info),
      this.stage, this.back, this.forth, this.details);
    this.image.addEventListener('error', () => this.failed());
    this.dialog.addEventListener('cancel', (event) => {
      event.preventDefault();
      this.close();
    });
    this.dialog.addEventListener('keydown', (event) => this.key(event));
    this.stage.addEventListener('click', (event) => { if (event.target === this.stage) this.close(); });
    this.swipes();
    if (kept('details') === 'yes') this.toggle(true);
  }

  swipes() {
    let start = null;
    this.stage.addEventListener('pointerdown', (event) => {
      start = event.pointerType === 'mouse' || !event.isPrimary ? null : { x: event.clientX, y: event.clientY };
    });
    this.stage.addEventListener('pointercancel', () => { start = null; });
    this.stage.addEventListener('pointerup', (event) => {
      if (!start) return;
      const x = event.clientX - start.x;
      const y = event.clientY - start.y;
      start = null;
      if (Math.abs(x) > SWIPE && Math.abs(x) > 1.5 * Math.abs(y)) this.step(x < 0 ? 1 : -1);
      else if (y > 2 * SWIPE && y > 1.5 * Math.abs(x)) this.close();
    });
  }

  /* i is the item's place in the list, -1 when it is not in it; found: what of its file is
   * there. */
  show(item, i, found = item) {
    this.item = item;
    this.i = i;
    this.found = found;
    const name = nameOf(item);
    this.broken.hidden = true;
    this.image.hidden = false;
    const said = partSaid(item);
    this.image.alt = said ? name + ', ' + said : name;
    this.turner.show(item);
    this.load(item);
    this.back.hidden = i <= 0;
    this.forth.hidden = i < 0;
    const total = this.calls.total();
    this.place.replaceChildren(i < 0 ? name : total ? t('m_place', { i: i + 1, n: total }) : count(i + 1), aloud(item) ?? '');
    this.fileLink.href = item.file;
    this.saveLink.href = item.file;
    this.saveLink.setAttribute('download', name);
    this.describe(item, name);
    if (!this.dialog.open) {
      this.dialog.showModal();
      this.stage.tabIndex = -1;
      this.stage.focus({ preventScroll: true });
    }
    if (i >= 0) {
      this.calls.at(i + 1).then((next) => {
        if (this.i !== i) return;
        this.forth.hidden = !next;
        if (next) new Image().src = thumbnail(next, 1280);
      });
    }
  }

  /* What is there at once, then sharper, then (on a large screen) the file itself. */
  load(item) {
    const ratio = devicePixelRatio || 1;
    const scale = Math.min(innerWidth / item.width, innerHeight / item.height);
    const needed = Math.max(item.width, item.height) * Math.min(1, scale * ratio);
    const steps = [thumbnail(item, 320), thumbnail(item, 1280)];
    if (needed > 1400 && SHOWN.includes(item.kind)) steps.push(item.file);
    // The size is the picture's from the first step on: nothing jumps.
    this.image.width = item.width;
    this.image.height = item.height;
    this.image.style.setProperty('--shape', item.width / item.height);
    // Small pictures grow a little, not to a blur.
    this.image.style.setProperty('--widest', Math.max(item.width * 2, 320) + 'px');
    this.image.src = steps[0];
    this.sharp = 0;
    for (const step of steps.slice(1)) {
      const better = new Image();
      better.onload = () => {
        if (this.item === item && steps.indexOf(step) > this.sharp) {
          this.sharp = steps.indexOf(step);
          this.image.src = step;
        }
      };
      better.src = step;
    }
  }

  failed() {
    if (!this.image.hasAttribute('src')) return;
    this.image.hidden = true;
    this.broken.hidden = false;
  }

  describe(item, name) {
    const only = (filter, value, label) => h('button', { type: 'button', class: 'link', title: label, onclick: () => this.calls.filter(filter, value) }, breakable(value));
    const below = item.path.split('/').slice(0, -1).join('/');
    const folder = item.folder.replace(/\/$/, '') + (below ? '/' + below : '');
    const rows = [
      ['m_folder', only('folder', folder || '/', t('only_folder'))],
      ['m_page', pageOf(item) ? (item.pages ? t('m_place', { i: pageOf(item), n: item.pages }) : count(item.page)) : null],
      ['m_time', item.time_ms === undefined ? null : clock(item.time_ms)],
      ['m_taken', item.taken_at ? when(item.taken_at) : null],
      ['m_modified', item.taken_at ? null : whenHere(item.modified_at)],
      ['f_kind', isFilm(item) ? t('kind_film', { kind: item.kind }) : item.kind],
      ['m_size', t('m_pixels', { w: item.width, h: item.height }) + ' · ' + bytes(item.size)],
      ['m_camera', item.camera ? only('camera', item.camera, t('only_camera')) : null],
      ['m_match', item.match === undefined ? null : percent(item.match)],
      ['m_score', item.score === undefined ? null : item.score.toFixed(3)],
    ];
    this.details.replaceChildren(h('h2', {}, name),
      h('dl', {}, rows.filter(([, value]) => value !== null).map(([key, value]) => h('div', {}, h('dt', {}, t(key)), h('dd', {}, value)))),
      this.said.node, h('p', { class: 'keys' }, t('keys')));
    if (!this.details.hidden) this.said.show(item.id);
  }

  toggle(open = this.details.hidden) {
    this.details.hidden = !open;
    this.info.setAttribute('aria-expanded', String(open));
    this.dialog.classList.toggle('with-details', open);
    kept('details', open ? 'yes' : null);
    if (open && this.item) this.said.show(this.item.id);
  }

  async step(by) {
    if (this.i < 0 || this.i + by < 0) return;
    const i = this.i + by;
    const item = await this.calls.at(i);
    if (!item || !this.open || this.i + by !== i) return;
    this.show(item, i);
    this.calls.moved(item);
  }

  /* Another page or frame of the file in view, whose place in the list stays. */
  turned(part) {
    this.show(partOf(part) === partOf(this.found) ? this.found : withPart(this.found, part), this.i, this.found);
    this.calls.moved(this.item);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches('input')) return;
    const pages = this.turner.several && !event.target.closest('.details'); // which scrolls by these
    const what = {
      ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1), i: () => this.toggle(), I: () => this.toggle(),
      '+': () => this.calls.like(this.item, 1), '-': () => this.calls.like(this.item, -1),
      ...(pages && { PageUp: () => this.turner.turn(-1), PageDown: () => this.turner.turn(1) }),
    }[event.key];
    if (!what) return;
    event.preventDefault();
    what();
  }

  /* By the reader: the address follows. */
  close() {
    const { i } = this;
    this.hide();
    this.calls.closed(i);
  }

  hide() {
    if (!this.dialog.open) return;
    this.dialog.close();
    this.image.removeAttribute('src');
    this.said.hide();
    this.turner.hide();
    this.item = null;
    this.i = -1;
  }
}
