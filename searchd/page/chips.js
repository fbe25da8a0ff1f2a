/* The chips: pictures that weigh in, and filters; each can be taken away. */
import { $, h, icon } from './dom.js';
import { bytes, count, day, t } from './strings.js';
import { rated } from './filters.js';
import { listOf, nextWeight } from './query.js';
import { thumbnail } from './api.js';
import { dataUrl } from './uploads.js';

const px = (n) => t('at_least_px', { n: Number(n) });

/* What a filter's chip says. */
function says(name, value) {
  switch (name) {
    case 'taken_from': return t('chip_from', { day: safeDay(value) });
    case 'taken_to': return t('chip_to', { day: safeDay(value) });
    case 'orientation': return t('chip_' + value);
    case 'min_width': return t('f_width') + ': ' + px(value);
    case 'min_height': return '↕ ' + px(value);
    case 'min_size': return t('size_over', { b: bytes(Number(value)) });
    case 'max_size': return t('size_under', { b: bytes(Number(value)) });
    case 'tag': return t('chip_tag', { tag: listOf(value).join(', ') });
    case 'not_tag': return t('chip_not_tag', { tag: listOf(value).join(', ') });
    case 'caption': return t('chip_caption', { words: value });
    case 'rating': return rated(value);
    case 'near': return t('chip_near', { place: value.split(',').slice(0, 2).join(', '), km: value.split(',')[2] });
    case 'hybrid': return t('f_hybrid');
    case 'folder': return value.split('/').filter(Boolean).pop() ?? value;
    case 'kind': return value === 'video' ? t('kind_video') : value;
    case 'name': return t('chip_name', { name: value });
    default: return value;
  }
}

function safeDay(value) {
  return /^\d{4}-\d\d-\d\d$/.test(value) ? day(value) : value;
}

/* calls: remove(term), weight(term, w), removeFilter(name), clear(), image(id): what
 * is known of it, or a promise of it */
export class Chips {
  constructor(calls) {
    this.calls = calls;
    this.root = $('chips');
  }

  show(state) {
    const chips = state.terms.map((term) => this.term(term));
    for (const [name, value] of Object.entries(state.filters)) chips.push(this.filter(name, value));
    if (chips.length > 1) chips.push(h('li', {}, h('button', { type: 'button', class: 'link', id: 'clear-all', onclick: () => this.calls.clear() }, t('clear_all'))));
    this.root.replaceChildren(...chips);
    this.root.hidden = chips.length === 0;
  }

  remover(what, f) {
    const label = t('chip_remove', { what });
    return h('button', { type: 'button', class: 'chip-remove', 'aria-label': label, title: label, onclick: f }, icon('close'));
  }

  term(term) {
    const less = term.weight < 0;
    const text = h('span', { class: 'chip-text' });
    const chip = h('li', { class: less ? 'chip less' : 'chip term' });
    const fill = (name, source) => {
      const what = term.picture ? name : t(less ? 'chip_unlike' : 'chip_like', { name });
      const weight = count(Math.abs(term.weight));
      const label = t('chip_weight', { weight, what });
      text.textContent = what;
      chip.replaceChildren(
        source ? h('img', { class: 'chip-picture', src: source, alt: '' }) : '',
        icon(less ? 'less' : 'more'), text,
        h('button', { type: 'button', class: 'chip-weight', 'aria-label': label, title: label, onclick: () => this.calls.weight(term, nextWeight(term.weight)) }, '×' + weight),
        this.remover(what, () => this.calls.remove(term)));
    };
    if (term.picture) {
      const url = dataUrl(term.picture);
      fill(t(url ? 'chip_picture' : 'chip_picture_gone'), url);
    } else {
      fill('#' + term.id, null);
      Promise.resolve(this.calls.image(term.id)).then((image) => {
        if (image) fill(image.path.split('/').pop(), thumbnail(image, 160));
      }, () => { /* the search says what is wrong */ });
    }
    return chip;
  }

  filter(name, value) {
    const what = says(name, value);
    return h('li', { class: 'chip', 'data-filter': name, title: value },
      h('span', { class: 'chip-text' }, what), this.remover(what, () => this.calls.removeFilter(name)));
  }
}
