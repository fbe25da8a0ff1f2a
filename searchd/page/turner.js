/* Turns the pages of a scan, or goes through the moments of a film, in the full view: which
 * one is seen, and the way to the next. Of other pictures it says what there is to say. */
import { h, iconButton } from './dom.js';
import { clock, t } from './strings.js';
import { get, thumbnail } from './api.js';
import { isFilm, pageOf, partOf, partSaid, partText } from './parts.js';

export class Turner {
  /* calls: turned(part): another part of the file in view is to be seen */
  constructor(calls) {
    this.calls = calls;
    this.id = 0;
    const button = (name, by, keys) => iconButton(name, '', () => this.turn(by), { 'aria-keyshortcuts': keys });
    this.back = button('previous', -1, 'PageUp');
    this.forth = button('next', 1, 'PageDown');
    this.text = h('span', { class: 'part', 'aria-hidden': 'true' }); // the group, the place and the picture say it aloud
    this.node = h('div', { class: 'turner', role: 'group' }, this.back, this.text, this.forth);
  }

  get several() { return this.item?.pages > 1; }

  show(item) {
    this.item = item;
    if (this.id !== item.id) {
      this.id = item.id;
      this.parts = item.parts ?? null;
      this.asked = null;
    }
    if (this.several && !this.parts) this.ask();
    this.tell();
  }

  hide() {
    this.item = null;
    this.id = 0;
  }

  /* The file's parts, asked for once; null where they cannot be had. */
  ask() {
    const { id } = this;
    this.asked ??= get('/v1/images/' + id).then(({ parts }) => {
      if (this.id !== id) return;
      this.parts = parts ?? [];
      this.tell();
    }).catch(() => { if (this.id === id) this.asked = null; });
    return this.asked;
  }

  /* The place among the parts; what names none is shown by the first. */
  at() {
    const part = partOf(this.item);
    return part ? this.parts.findIndex((one) => partOf(one) === part) : 0;
  }

  /* "page 7 of 40", "at 1:23, 3 of 12" */
  words() {
    if (!this.several) return partText(this.item);
    if (!isFilm(this.item)) return t('part_page_of', { n: pageOf(this.item), of: this.item.pages });
    const i = this.parts ? this.at() : -1;
    return i < 0 ? partText(this.item) : t('part_time_of', { time: clock(this.parts[i].time_ms), i: i + 1, of: this.parts.length });
  }

  tell() {
    const { item } = this;
    this.text.textContent = this.words();
    this.node.hidden = !this.text.textContent;
    this.node.setAttribute('aria-label', partSaid(item) || item.path);
    for (const [button, key, by] of [[this.back, 'previous', -1], [this.forth, 'next', 1]]) {
      const name = t((isFilm(item) ? 'moment_' : 'page_') + key);
      button.title = name;
      button.setAttribute('aria-label', name);
      button.hidden = !this.several;
      // It keeps the focus where there is no way on.
      button.setAttribute('aria-disabled', String(Boolean(this.parts) && !this.parts[this.at() + by]));
    }
  }

  async turn(by) {
    const { id } = this;
    if (!this.several) return;
    if (!this.parts) await this.ask();
    if (this.id !== id || !this.parts) return;
    const at = this.at() + by;
    if (!this.parts[at]) return;
    this.calls.turned(this.parts[at]);
    if (this.parts[at + by]) new Image().src = thumbnail(this.parts[at + by], 1280);
  }
}
