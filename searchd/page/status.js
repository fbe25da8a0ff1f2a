/* How the library stands: asked now and then while the page is looked at. */
import { $, h } from './dom.js';
import { t } from './strings.js';
import { get } from './api.js';

const OFTEN = 2000; // ms, while an indexer is at work
const SELDOM = 15_000;

/* Models that know other languages say so in their names. */
const MANY_LANGUAGES = /multiling|xlm|m-?clip|siglip-?2|jina-clip-v2|nllb|chinese|japanese|german|korean|russian/i;

export const knowsOnlyEnglish = (model) => Boolean(model) && !MANY_LANGUAGES.test(model);

/* calls: changed(stats): pictures came or went; showNew() */
export class Status {
  constructor(calls) {
    this.calls = calls;
    this.stats = null;
    this.timer = 0;
    document.addEventListener('visibilitychange', () => { if (!document.hidden) this.look(); });
  }

  get indexing() { return Boolean(this.stats?.indexing); }

  /* Of another library: nothing is known. */
  forget() {
    this.stats = null;
    this.look();
  }

  look() {
    clearTimeout(this.timer);
    const turn = this.turn = (this.turn ?? 0) + 1;
    return get('/v1/stats').then((stats) => {
      if (turn !== this.turn) return;
      const before = this.stats;
      this.stats = stats;
      this.show();
      if (!before || before.generation !== stats.generation) this.calls.changed(stats, before);
    }, () => null).finally(() => {
      if (turn !== this.turn || document.hidden) return;
      this.timer = setTimeout(() => this.look(), this.indexing ? OFTEN : SELDOM);
    });
  }

  show() {
    $('indexing').hidden = !this.indexing;
    if (this.indexing) $('indexing').replaceChildren(h('span', { class: 'pulse', 'aria-hidden': 'true' }), t('indexing', { n: this.stats.images }));
  }
}
