/* Tags by examples: pictures are chosen on the page, a label is named, the daemon says
 * which others would get it, a person takes the wrong ones out and accepts. */
import { $, h, toast } from './dom.js';
import { percent, t } from './strings.js';
import { post, thumbnail } from './api.js';
import { nameOf } from './grid.js';
import { shownLabel, tidyLabel } from './said.js';
import { Sheet } from './sheet.js';

const MOST = 200; // examples, as the daemon takes them
const MOST_WRONG = 500;
const SHOWN = 150; // suggestions

export class Teach {
  /* calls: picks(map or null): the grid chooses into it, or no more; tagged(label) */
  constructor(calls) {
    this.calls = calls;
    this.chosen = new Map(); // id -> item
    this.wrong = new Set();
    this.found = []; // {image, score, box, was}
    this.bar = $('picking');
    this.count = h('p', { class: 'picking-count', role: 'status' });
    this.label = h('input', { id: 'teach-label', type: 'text', autocomplete: 'off', autocapitalize: 'off', maxlength: '200', oninput: () => this.tell() });
    this.go = h('button', { type: 'submit', class: 'pill strong' }, t('teach_see'));
    this.bar.append(h('form', { class: 'picking-form', onsubmit: (event) => {
      event.preventDefault();
      this.suggest();
    } }, this.count, h('div', { class: 'field' }, h('label', { for: 'teach-label' }, t('teach_label')), this.label),
      this.go, h('button', { type: 'button', class: 'pill', onclick: () => this.stop() }, t('teach_stop'))));
    this.bar.addEventListener('keydown', (event) => { if (event.key === 'Escape') this.stop(); });
    this.sheet = new Sheet($('teach'), () => this.sheet.hide());
  }

  get on() { return !this.bar.hidden; }

  start() {
    this.chosen.clear();
    this.wrong.clear();
    this.label.value = '';
    this.bar.hidden = false;
    document.documentElement.classList.add('with-picking');
    this.calls.picks(this.chosen);
    this.tell();
  }

  stop() {
    if (!this.on) return;
    this.bar.hidden = true;
    document.documentElement.classList.remove('with-picking');
    this.sheet.hide();
    this.calls.picks(null);
  }

  toggle(item) {
    if (this.chosen.has(item.id)) this.chosen.delete(item.id);
    else if (this.chosen.size < MOST) this.chosen.set(item.id, item);
    else toast(t('teach_most', { n: MOST }));
    this.tell();
  }

  tell() {
    this.count.textContent = this.chosen.size ? t('teach_chosen', { n: this.chosen.size }) : t('teach_choose');
    this.go.disabled = !this.chosen.size || !tidyLabel(this.label.value);
  }

  /* ---- What else would get it ---- */

  async suggest() {
    const label = tidyLabel(this.label.value);
    if (!label || !this.chosen.size || this.asking) return;
    this.asking = this.go.disabled = true;
    try {
      const wrong = [...this.wrong].filter((id) => !this.chosen.has(id)).slice(-MOST_WRONG);
      const answer = await post('/v1/tags/suggest', { label, ids: [...this.chosen.keys()], not_ids: wrong, limit: SHOWN });
      this.found = answer.results.map((one) => ({ ...one, was: one.score >= answer.threshold }));
      if (this.on) this.show(label);
    } catch (problem) {
      toast(t('teach_failed') + ' ' + (problem.kind === 'refused' ? problem.message : ''));
    } finally {
      this.asking = false;
      this.tell();
    }
  }

  show(label) {
    const { sheet } = this;
    sheet.show(t('teach_title', { label: shownLabel(label) }));
    sheet.body.append(h('p', { class: 'sheet-text' }, t(this.found.length ? 'teach_text' : 'teach_none')),
      h('ul', { class: 'choices' }, this.found.map((one) => this.choice(one))));
    this.total = h('p', { class: 'sheet-count', role: 'status' });
    this.accept = h('button', { type: 'button', class: 'pill strong', onclick: () => this.write(label) });
    sheet.foot.append(this.total,
      this.found.length > 0 && h('button', { type: 'button', class: 'pill', onclick: () => this.again() }, t('teach_again')), this.accept);
    this.sum();
  }

  choice(one) {
    const name = nameOf(one.image);
    one.box = h('input', { type: 'checkbox', checked: one.was, onchange: () => this.sum() });
    return h('li', {}, h('label', { class: 'choice' }, h('img', { src: thumbnail(one.image, 320), alt: name, loading: 'lazy' }),
      h('span', { class: 'choice-text' }, one.box, h('span', {}, percent(one.score)))));
  }

  ticked() { return this.found.filter((one) => one.box.checked).map((one) => one.image); }

  sum() {
    const n = this.ticked().length;
    this.total.textContent = t('teach_sum', { n, chosen: t('teach_chosen', { n: this.chosen.size }) });
    this.accept.textContent = t('teach_accept', { n: n + this.chosen.size });
  }

  /* What a person changed is what the next try learns from. */
  again() {
    for (const one of this.found) {
      if (one.was && !one.box.checked) this.wrong.add(one.image.id);
      if (!one.was && one.box.checked && this.chosen.size < MOST) this.chosen.set(one.image.id, one.image);
    }
    this.calls.picks(this.chosen);
    this.suggest();
  }

  async write(label) {
    const ids = [...new Set([...this.chosen.keys(), ...this.ticked().map((image) => image.id)])];
    this.accept.disabled = true;
    try {
      const { changed } = await post('/v1/tags', { label, ids });
      this.stop();
      this.calls.tagged(label);
      toast(t('teach_done', { n: changed, label: shownLabel(label) }));
    } catch {
      this.accept.disabled = false;
      toast(t('tag_not_kept'));
    }
  }
}
