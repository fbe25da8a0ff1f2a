/* A dialog that takes the window: a heading, what scrolls, what stays below it. */
import { h, iconButton } from './dom.js';
import { t } from './strings.js';

export class Sheet {
  /* closed(): by the reader */
  constructor(dialog, closed) {
    this.dialog = dialog;
    this.title = h('h2', { id: dialog.id + '-title', tabindex: '-1' });
    this.body = h('div', { class: 'sheet-body' });
    this.foot = h('div', { class: 'sheet-foot' });
    dialog.setAttribute('aria-labelledby', this.title.id);
    dialog.append(h('div', { class: 'sheet-head' }, this.title, iconButton('close', t('close'), () => closed())), this.body, this.foot);
    dialog.addEventListener('cancel', (event) => {
      event.preventDefault();
      closed();
    });
  }

  get open() { return this.dialog.open; }

  show(title) {
    this.title.textContent = title;
    this.body.replaceChildren();
    this.foot.replaceChildren();
    if (!this.open) this.dialog.showModal();
    this.title.focus({ preventScroll: true });
    this.body.scrollTop = 0;
  }

  hide() { if (this.open) this.dialog.close(); }
}
