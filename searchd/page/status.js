/* How the library stands: asked now and then while the page is looked at. */
import { $, h } from './dom.js';
import { duration, t } from './strings.js';
import { get } from './api.js';

const OFTEN = 2000; // ms, while an indexer is at work
const SELDOM = 15_000;

export const knowsOnlyEnglish = ({ languages }) => languages.length > 0 && languages.every((code) => /^en\b/.test(code));

/* "Indexing: 120 of 2,000 files, 40 a second, 1 minute left" */
function told({ images, progress }) {
  if (!progress?.total) return t('indexing', { n: images });
  const { done, total, counting, per_s: rate, seconds_left: left } = progress;
  const parts = [t(counting ? 'indexing_counting' : 'indexing_of', { done, total })];
  if (rate >= 1) parts.push(t('indexing_rate', { n: Math.round(rate) }));
  if (!counting && left >= 1) parts.push(t('indexing_left', { time: duration(left) }));
  return parts.join(', ');
}

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
    if (this.indexing) $('indexing').replaceChildren(h('span', { class: 'pulse', 'aria-hidden': 'true' }), told(this.stats));
  }
}
