/* The query: what the page shows, as its address has it.
 *
 *   {library, text, terms: [{id | picture, weight}], filters: {name: value}, view,
 *    part: the page or frame of the picture in view (parts.js), means nothing without one,
 *    good: good matches alone, rerank: the first are looked at again,
 *    pages: each page and frame is a result,
 *    dupes: kinds of copies that are shown, '' for none}
 *
 * A weight below zero is "less like this". A picture of the reader's own has a name
 * made of its bytes (uploads.js); its bytes are not in the address. */

export const FILTERS = ['folder', 'name', 'camera', 'kind', 'orientation', 'taken_from', 'taken_to',
  'min_size', 'max_size', 'min_width', 'min_height', 'lens', 'tag', 'not_tag', 'rating', 'near', 'caption', 'hybrid'];

/* Filters of which there may be several, with commas between them; "\," is a comma within
 * one. */
const LISTS = ['tag', 'not_tag'];

export const listOf = (text) => (text.match(/(?:\\,|[^,])+/g) ?? [])
  .map((one) => one.replaceAll('\\,', ',').trim()).filter(Boolean);
export const inList = (one) => one.replaceAll(',', '\\,');

/* The filters as the daemon takes them: numbers are numbers, lists are arrays. `hybrid`
 * is one to the page alone, and means something only where words are searched for. */
export function filtersOf(state, words) {
  const all = Object.entries(state.filters).filter(([name]) => words || name !== 'hybrid');
  return Object.fromEntries(all.map(([name, value]) => {
    if (LISTS.includes(name)) return [name, listOf(value)];
    if (name === 'hybrid') return [name, true];
    return [name, /^(min|max)_/.test(name) ? Number(value) : value];
  }));
}

export const LESS = -0.5;
const WEIGHTS = [1, 2, 0.5];

export const nothing = (library = '') => ({ library, text: '', terms: [], filters: {}, view: 0, part: '', good: false, rerank: false, pages: false, dupes: '' });

const SWITCHES = ['good', 'rerank', 'pages'];
const PARTS = { page: /^[1-9]\d{0,6}$/, time: /^\d{1,10}$/ };

/* "12" or "12*2" */
function parseTerm(text, sign, key) {
  const [name, weight] = text.split('*');
  const least = sign < 0 ? -LESS : 1;
  const size = Number(weight ?? least);
  if (!name || !(size > 0 && size <= 1000)) return null;
  if (key === 'id' && !/^[1-9]\d{0,11}$/.test(name)) return null;
  return { [key]: key === 'id' ? Number(name) : name, weight: sign * size };
}

export function parse(search) {
  const from = new URLSearchParams(search);
  const state = nothing(from.get('library') ?? '');
  state.text = from.get('q') ?? '';
  state.view = Number(from.get('view')) || 0;
  for (const [name, form] of Object.entries(PARTS)) {
    const value = from.get(name) ?? '';
    if (state.view && form.test(value)) state.part = name + '=' + Number(value);
  }
  state.dupes = from.get('dupes') ?? '';
  for (const name of SWITCHES) state[name] = from.get(name) === '1';
  for (const [name, value] of from) {
    if (name === 'like') state.terms.push(parseTerm(value, 1, 'id'));
    if (name === 'unlike') state.terms.push(parseTerm(value, -1, 'id'));
    if (name === 'picture') state.terms.push(parseTerm(value, 1, 'picture'));
    if (FILTERS.includes(name) && value) {
      const more = LISTS.includes(name) && state.filters[name]; // given again: all of them
      state.filters[name] = more ? more + ', ' + value : value;
    }
  }
  state.terms = state.terms.filter(Boolean);
  return state;
}

export function format(state) {
  const to = new URLSearchParams();
  if (state.library) to.set('library', state.library);
  if (state.text.trim()) to.set('q', state.text.trim());
  for (const term of state.terms) {
    const name = term.picture ? 'picture' : term.weight > 0 ? 'like' : 'unlike';
    const usual = term.weight > 0 ? 1 : LESS;
    to.append(name, (term.picture ?? term.id) + (term.weight === usual ? '' : '*' + Math.abs(term.weight)));
  }
  for (const name of FILTERS) if (state.filters[name]) to.set(name, state.filters[name]);
  for (const name of SWITCHES) if (state[name]) to.set(name, '1');
  if (state.dupes) to.set('dupes', state.dupes);
  if (state.view) to.set('view', state.view);
  if (state.view && state.part) to.set(...state.part.split('='));
  const text = to.toString();
  return text ? '/?' + text : '/';
}

/* The same for two states that show the same pictures. */
export const sameness = (state) => format({ ...state, view: 0, dupes: '' });

export const isSearch = (state) => state.text.trim() !== '' || state.terms.length > 0;
export const isFiltered = (state) => Object.keys(state.filters).length > 0;

/* Adds a picture of the library, or turns it round; takes away one that is there. */
export function withTerm(state, id, weight) {
  const had = state.terms.find((term) => term.id === id);
  const terms = state.terms.filter((term) => term.id !== id);
  if (!had || Math.sign(had.weight) !== Math.sign(weight)) terms.push({ id, weight });
  return { ...state, terms, view: 0 };
}

export function nextWeight(weight) {
  const sign = Math.sign(weight);
  const at = WEIGHTS.indexOf(Math.abs(weight));
  return sign * WEIGHTS[(at + 1) % WEIGHTS.length];
}

/* "a beach - people": a lone + or - starts another text, wanted or not, as on the
 * command line. */
export function texts(text) {
  const out = [];
  let sign = 1;
  for (const part of text.trim().split(/(?:^|\s+)([+-])(?=\s|$)/)) {
    if (part === '+' || part === '-') sign = part === '-' ? -1 : 1;
    else if (part?.trim()) out.push({ text: part.trim(), weight: sign });
  }
  return out;
}
