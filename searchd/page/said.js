/* What is said of a picture, in the full view: tags and captions with who says so, and a
 * person's own tags, which can be added and taken away. */
import { h, icon, toast } from './dom.js';
import { percent, t } from './strings.js';
import { get, post } from './api.js';

const LONGEST = 200; // bytes of a label, as the daemon takes them

const SOURCES = { picture: 'said_picture', osprey: 'said_osprey', user: 'said_user' };

/* "animal|dog" as people read it. */
export const shownLabel = (label) => label.split('|').join(' › ');

/* Blanks between words are one; around them there are none. What is too long is cut. */
export function tidyLabel(text) {
  let label = text.replace(/\s+/g, ' ').trim();
  while (new TextEncoder().encode(label).length > LONGEST) label = label.slice(0, -1).trim();
  return label;
}

const who = ({ source, score }) => t(SOURCES[source]) + (score === undefined ? '' : ', ' + percent(score));

export class Said {
  /* calls: tag(label) shows what has it; changed() */
  constructor(calls) {
    this.calls = calls;
    this.id = 0;
    this.tags = h('ul', { class: 'tags' });
    this.input = h('input', { id: 'tag-new', type: 'text', maxlength: LONGEST, autocomplete: 'off', autocapitalize: 'off', spellcheck: 'true' });
    this.form = h('form', { class: 'tag-form', onsubmit: (event) => this.add(event) },
      h('label', { for: 'tag-new' }, t('tag_add')), h('div', { class: 'tag-line' }, this.input, h('button', { type: 'submit', class: 'pill' }, t('tag_add_button'))));
    this.captions = h('div', { class: 'captions' });
    this.node = h('section', { class: 'said' }, h('h3', {}, t('m_tags')), this.tags, this.form, this.captions);
  }

  /* Nothing is asked for while the details are not seen. */
  async show(id) {
    if (this.id === id) return;
    this.id = id;
    this.input.value = '';
    this.tags.replaceChildren();
    this.captions.replaceChildren();
    const said = await get('/v1/images/' + id).catch(() => null);
    if (said && this.id === id) this.fill(said);
  }

  hide() { this.id = 0; }

  fill({ tags, captions }) {
    this.tags.replaceChildren(...tags.map((tag) => this.tag(tag)));
    this.captions.replaceChildren(...captions.length ? [h('h3', {}, t('m_captions'))] : [],
      ...captions.map((caption) => h('p', {}, caption.text, ' ', h('span', { class: 'who' }, who(caption)))));
  }

  tag(tag) {
    const label = shownLabel(tag.label);
    return h('li', { 'data-source': tag.source },
      h('button', { type: 'button', class: 'link', title: t('only_tag', { label }), onclick: () => this.calls.tag(tag.label) }, label),
      h('span', { class: 'who' }, who(tag)),
      tag.source === 'user' && h('button', { type: 'button', class: 'tag-remove', 'aria-label': t('tag_remove', { label }), title: t('tag_remove', { label }),
        onclick: () => this.change({ remove: [tag.label] }) }, icon('close')));
  }

  add(event) {
    event.preventDefault();
    const label = tidyLabel(this.input.value);
    if (label) this.change({ add: [label] }).then((done) => { if (done) this.input.value = ''; });
  }

  async change(edit) {
    const { id } = this;
    try {
      const said = await post('/v1/images/' + id + '/tags', edit);
      if (this.id === id) this.fill(said);
      this.input.focus();
      this.calls.changed();
      return true;
    } catch {
      toast(t('tag_not_kept'));
      return false;
    }
  }
}
