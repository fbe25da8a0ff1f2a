/* The pictures of one query, page by page: results of a search, or the library by
 * date. */
import { get, post, Problem } from './api.js';
import { filtersOf, isSearch, texts } from './query.js';
import { dataUrl } from './uploads.js';

const FIRST = 60; // what a screen shows; the answer to each letter typed
const NEXT = 200;
const MOST = 10_000; // the daemon's highest offset
const AGAIN = 50; // results that are looked at again

let least = null; // of `match`, that the daemon calls good
const goodMatch = async () => (least ??= (await get('/v1/stats')).good_match);

export class Source {
  constructor(state) {
    this.state = state;
    this.items = [];
    this.done = false;
    this.total = null; // known for listings, or at the end
    this.most = Infinity; // results of one answer
    this.took = 0; // ms of the first answer
    this.threshold = null; // of `match`: good ones reach it
    this.searching = isSearch(state);
    this.abort = new AbortController();
    this.pending = null;
  }

  stop() {
    this.done = true;
    this.abort.abort();
  }

  /* Gets one more page; the new items. Asked again while it runs, it is the same one. */
  more() {
    if (this.done) return Promise.resolve([]);
    this.pending ??= (this.searching ? this.search() : this.list()).finally(() => { this.pending = null; });
    return this.pending;
  }

  terms() {
    return texts(this.state.text).concat(this.state.terms.map(({ id, picture, weight }) => {
      if (id) return { id, weight };
      const image = dataUrl(picture);
      if (!image) throw new Problem('picture_gone', picture);
      return { image, weight };
    }));
  }

  async search() {
    const offset = this.items.length ? this.items.at(-1).rank : 0;
    const k = Math.min(this.items.length ? NEXT : FIRST, this.most);
    const terms = this.terms();
    const filters = filtersOf(this.state, terms.some(({ text, weight }) => text && weight > 0));
    const plain = terms.length === 1 && terms[0].text && terms[0].weight === 1;
    const how = { k, offset };
    let answer;
    try {
      if (this.state.good) how.min_match = await goodMatch();
      if (this.state.pages && !filters.hybrid) how.pages = true; // the daemon has not both
      if (this.state.rerank && offset < AGAIN && terms.some(({ text }) => text)) how.rerank = AGAIN;
      answer = plain
        ? await get('/v1/search', { q: terms[0].text, ...how, ...filters }, this.abort.signal)
        : await post('/v1/search', { terms, ...how, ...filters }, this.abort.signal);
    } catch (problem) {
      // A daemon that gives fewer at a time (--max-k) says how many.
      const most = /^k must be .* to (\d+)$/.exec(problem.message)?.[1];
      if (!most || Number(most) >= k) throw problem;
      this.most = Number(most);
      return this.search();
    }
    const last = answer.results.at(-1);
    // A picture that has just gone leaves a gap in the ranks.
    this.cut = last?.rank > MOST; // there may be more, but not for us
    this.done = !last || last.rank < offset + k || this.cut;
    this.threshold ??= answer.good_match ?? null;
    return this.take(answer.results, answer);
  }

  async list() {
    const limit = this.items.length ? 500 : 100;
    const answer = await get('/v1/images', { limit, after: this.next, ...filtersOf(this.state, false) }, this.abort.signal);
    this.next = answer.next;
    this.done = !answer.next;
    this.total ??= answer.total;
    return this.take(answer.images, answer);
  }

  take(found, answer) {
    if (!this.items.length) this.took = answer.took_ms.total;
    this.items.push(...found);
    if (this.done && this.searching) this.total = this.items.length;
    return found;
  }

  /* Where good matches end: how many there are, or null when nobody can tell. What was
   * looked at again is no longer in the order of its matches. */
  goodOnes() {
    if (!this.searching || this.threshold === null || this.items[0]?.match === undefined) return null;
    const end = this.items.findLastIndex((item) => item.match >= this.threshold) + 1;
    return end === this.items.length && !(this.state.good && this.done) ? null : end;
  }
}
