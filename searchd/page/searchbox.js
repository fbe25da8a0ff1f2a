/* The search box: letters as they are typed, and pictures dropped, pasted or chosen. */
import { $, debounce } from './dom.js';

const PAUSE = 120; // ms without a letter

/* calls: typed(text), settled(text), pictures(files), own(i) for a picture of the page
 * that is dropped on the box */
export class SearchBox {
  constructor(calls) {
    this.calls = calls;
    this.input = $('q');
    this.later = debounce(() => calls.typed(this.input.value), PAUSE);
    this.input.addEventListener('input', () => {
      this.clearShown();
      this.later();
    });
    this.input.addEventListener('change', () => this.settle());
    $('search').addEventListener('submit', (event) => {
      event.preventDefault();
      this.settle();
    });
    $('clear').addEventListener('click', () => {
      this.input.value = '';
      this.clearShown();
      this.settle();
      this.input.focus();
    });
    $('choose').addEventListener('click', () => $('file').click());
    $('file').addEventListener('change', () => {
      calls.pictures([...$('file').files]);
      $('file').value = '';
    });
    addEventListener('keydown', (event) => this.key(event));
    addEventListener('paste', (event) => this.paste(event));
    this.drops();
  }

  settle() {
    this.later.cancel();
    this.calls.settled(this.input.value);
  }

  show(text) {
    if (this.input.value.trim() !== text.trim()) this.input.value = text;
    this.clearShown();
  }

  clearShown() { $('clear').hidden = this.input.value === ''; }

  /* "/" goes to the box, from anywhere where it is not typed. */
  key(event) {
    const typing = event.target.closest?.('input, select, textarea, dialog');
    if (event.key !== '/' || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.input.focus();
    this.input.select();
  }

  paste(event) {
    const files = [...(event.clipboardData?.files ?? [])].filter((file) => file.type.startsWith('image/'));
    if (!files.length || $('login').open) return;
    event.preventDefault();
    this.calls.pictures(files);
  }

  drops() {
    let depth = 0;
    let own = null; // a tile of the page that is dragged
    const shown = (on) => { $('drop').hidden = !on; };
    const takes = (event) => own || [...(event.dataTransfer?.types ?? [])].includes('Files');
    addEventListener('dragstart', (event) => { own = event.target.closest?.('.tile')?.dataset.i ?? null; });
    addEventListener('dragend', () => {
      own = null;
      depth = 0;
      shown(false);
    });
    addEventListener('dragenter', (event) => {
      if (!takes(event)) return;
      event.preventDefault();
      depth++;
      shown(true);
    });
    addEventListener('dragleave', (event) => {
      if (!takes(event)) return;
      depth = Math.max(0, depth - 1);
      shown(depth > 0);
    });
    addEventListener('dragover', (event) => {
      if (!takes(event)) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = 'copy';
    });
    addEventListener('drop', (event) => {
      if (!takes(event)) return;
      event.preventDefault();
      depth = 0;
      shown(false);
      if (own !== null) {
        // Only onto the box: a picture that is let go where it lay means nothing.
        if (event.target.closest?.('#head')) this.calls.own(Number(own));
      } else {
        this.calls.pictures([...event.dataTransfer.files]);
      }
      own = null;
    });
  }
}
