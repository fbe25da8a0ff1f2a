/* The panel of filters: a form whose fields are the daemon's filters. The library's
 * folders are offered, and the folders and cameras of pictures that were seen. */
import { $, debounce, h } from './dom.js';
import { bytes, t } from './strings.js';
import { get } from './api.js';
import { isFilm } from './parts.js';

const WIDTHS = [640, 1280, 1920, 3840];
const SIZES = [[0, 1e5], [1e5, 1e6], [1e6, 5e6], [5e6, 0]]; // bytes: from, to
const MOST_SEEN = 200;
const PLAIN = ['taken_from', 'taken_to', 'folder', 'name', 'camera', 'lens', 'kind', 'min_width', 'orientation', 'tag', 'not_tag',
  'caption', 'rating', 'near'];
const RATINGS = ['1', '2', '3', '4', '5', 'unrated', 'rejected'];
let seen = { folder: new Set(), camera: new Set() };

function sizeLabel([from, to]) {
  if (!from) return t('size_under', { b: bytes(to) });
  if (!to) return t('size_over', { b: bytes(from) });
  return t('size_between', { a: bytes(from), b: bytes(to) });
}

/* What a rating says. */
export const rated = (value) => (/^\d$/.test(value) ? t('rated', { stars: '★'.repeat(value) }) : t(value));

const field = (key, input) => h('div', { class: 'field' }, h('label', { for: input.id }, t(key)), input);
const options = (list, any = true) => (any ? [h('option', { value: '' }, t('any'))] : []).concat(list.map(([value, text]) => h('option', { value }, text)));

/* Latitude, longitude, kilometres. */
function isPlace(text) {
  const numbers = text.split(',').map((part) => (part === '' ? NaN : Number(part)));
  return numbers.length === 3 && numbers.every(Number.isFinite) && Math.abs(numbers[0]) <= 90 && Math.abs(numbers[1]) <= 180 && numbers[2] >= 0;
}

/* calls: change(filters) */
export class Filters {
  constructor(calls) {
    this.calls = calls;
    this.kinds = []; // until the daemon tells them
    this.form = $('filters');
    this.button = $('filter-button');
    this.build();
    this.button.addEventListener('click', () => this.toggle());
    const typed = debounce(() => this.changed(), 350);
    this.form.addEventListener('input', (event) => {
      if (event.target.tagName === 'SELECT' || ['radio', 'checkbox'].includes(event.target.type)) this.changed();
      else typed();
    });
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.changed();
      this.toggle(false);
    });
    this.form.addEventListener('keydown', (event) => { if (event.key === 'Escape') this.toggle(false); });
  }

  build() {
    const input = (id, more) => h('input', { id: 'f-' + id, name: id, ...more });
    const select = (id, list) => h('select', { id: 'f-' + id, name: id }, options(list));
    const turns = [['', 'any'], ['landscape', 'landscape'], ['portrait', 'portrait'], ['square', 'square']];
    this.form.append(
      field('f_from', input('taken_from', { type: 'date', max: '9999-12-31' })),
      field('f_to', input('taken_to', { type: 'date', max: '9999-12-31' })),
      h('fieldset', { class: 'field turns' }, h('legend', {}, t('f_orientation')), h('div', { class: 'segments' },
        turns.map(([value, key]) => h('label', {}, h('input', { type: 'radio', name: 'orientation', value, checked: value === '' }), h('span', {}, t(key)))))),
      field('f_folder', input('folder', { type: 'text', list: 'seen-folder', spellcheck: 'false' })),
      field('f_name', input('name', { type: 'text', spellcheck: 'false' })),
      field('f_camera', input('camera', { type: 'text', list: 'seen-camera', spellcheck: 'false' })),
      field('f_lens', input('lens', { type: 'text', spellcheck: 'false' })),
      field('f_tag', input('tag', { type: 'text', spellcheck: 'false', placeholder: t('f_tag_like') })),
      field('f_not_tag', input('not_tag', { type: 'text', spellcheck: 'false' })),
      field('f_caption', input('caption', { type: 'text' })),
      field('f_rating', select('rating', RATINGS.map((value) => [value, rated(value)]))),
      field('f_near', input('near', { type: 'text', placeholder: '48.2, 16.37, 5', inputmode: 'text', spellcheck: 'false' })),
      field('f_kind', select('kind', [])),
      field('f_width', select('min_width', WIDTHS.map((n) => [n, t('at_least_px', { n })]))),
      field('f_size', select('bytes', SIZES.map((range) => [range.join('-'), sizeLabel(range)]))),
      field('f_hybrid', input('hybrid', { type: 'checkbox' })),
      h('datalist', { id: 'seen-folder' }), h('datalist', { id: 'seen-camera' }),
      h('div', { class: 'filter-ends' },
        h('button', { type: 'button', class: 'link', onclick: () => this.calls.change({}) }, t('filters_clear')),
        h('button', { type: 'submit', class: 'pill strong' }, t('filters_done'))));
  }

  toggle(open = this.form.hidden) {
    this.form.hidden = !open;
    this.button.setAttribute('aria-expanded', String(open));
    if (open) {
      this.offer();
      get('/v1/folders').then(({ folders }) => {
        for (const { path } of folders) seen.folder.add(path);
        this.offer();
      }, () => null);
      this.form.elements[0].focus();
    } else if (this.form.contains(document.activeElement)) {
      this.button.focus();
    }
  }

  offer() {
    for (const name of ['folder', 'camera']) {
      $('seen-' + name).replaceChildren(...[...seen[name]].sort().map((value) => h('option', { value })));
    }
  }

  /* The kinds of files that the daemon tells of, and the one that is asked for. */
  offerKinds(kinds = this.kinds) {
    const { kind: select } = this.form.elements;
    const now = this.filters?.kind ?? '';
    this.kinds = kinds;
    const named = kinds.filter((one) => !isFilm(one)).map(({ kind }) => [kind, kind]);
    const films = kinds.filter(isFilm).map((one) => [one.kind, t('kind_film', one)]);
    if (films.length) named.push(['video', t('kind_video')], ...films);
    if (now && !named.some(([kind]) => kind === now)) named.push([now, now]);
    select.replaceChildren(...options(named));
    select.value = now;
  }

  /* Another library has others. */
  forget() { seen = { folder: new Set(), camera: new Set() }; }

  /* Notes what pictures have, to offer it. */
  learn(items) {
    for (const item of items) {
      const below = item.path.split('/').slice(0, -1).join('/');
      if (seen.folder.size < MOST_SEEN) {
        seen.folder.add(item.folder);
        if (below) seen.folder.add(item.folder.replace(/\/$/, '') + '/' + below);
      }
      if (item.camera && seen.camera.size < MOST_SEEN) seen.camera.add(item.camera);
    }
  }

  /* What the form says; filters that it has no field for stay as they were. */
  changed() {
    const filters = { ...this.filters };
    if (this.form.elements.hybrid.checked) filters.hybrid = 'true';
    else delete filters.hybrid;
    for (const name of PLAIN) {
      let value = this.form.elements[name].value.trim();
      if (name === 'near') {
        value = value.replace(/\s+/g, '');
        if (value && !isPlace(value)) continue; // half typed
      }
      if (value) filters[name] = value;
      else delete filters[name];
    }
    const [from, to] = this.form.elements.bytes.value.split('-').map(Number);
    delete filters.min_size;
    delete filters.max_size;
    if (from) filters.min_size = String(from);
    if (to) filters.max_size = String(to);
    if (JSON.stringify(filters) !== JSON.stringify(this.filters)) this.calls.change(filters);
  }

  show(filters) {
    this.filters = filters;
    const { elements } = this.form;
    elements.hybrid.checked = Boolean(filters.hybrid);
    for (const name of PLAIN) {
      if (elements[name] !== document.activeElement) elements[name].value = filters[name] ?? '';
    }
    if (elements.kind.value !== (filters.kind ?? '')) this.offerKinds();
    elements.bytes.value = filters.min_size || filters.max_size ? [filters.min_size ?? 0, filters.max_size ?? 0].join('-') : '';
    if (elements.bytes.selectedIndex < 0) elements.bytes.value = '';
    const n = Object.keys(filters).length;
    this.button.classList.toggle('on', n > 0);
  }
}
