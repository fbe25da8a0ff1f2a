/* The page: holds the state, which is the address, and tells each part to show it. */
import { $, h, icon, toast } from './dom.js';
import { language, t } from './strings.js';
import { get, isThere, libraries, onLogin, thumbnail, useLibrary } from './api.js';
import { format, inList, isFiltered, isSearch, LESS, nothing, parse, sameness, texts, withTerm } from './query.js';
import { isView, ofPart, partOf, viewOf } from './parts.js';
import { keep } from './uploads.js';
import { coloursOf } from './colours.js';
import { Source } from './source.js';
import { passing } from './datelabel.js';
import { Grid } from './grid.js';
import { Viewer } from './viewer.js';
import { Chips } from './chips.js';
import { Filters } from './filters.js';
import { SearchBox } from './searchbox.js';
import { Status, knowsOnlyEnglish } from './status.js';
import { Teach } from './teach.js';
import { Dupes, KINDS, tidyKinds } from './dupes.js';
import { askLogin } from './login.js';
import { buildMenu, watchMenu } from './menu.js';
import * as notices from './notices.js';

const MOST_PICTURES = 8; // of the reader's own, in one search
const AGAIN = 3000; // ms between tries when the daemon is gone

let state = parse(location.search);
let source = null; // what the grid shows
let typing = false; // the address is replaced, not added to, until it settles
let retry = 0;

/* ---- The state and the address ---- */

function go(next, replace = false) {
  if (sameness(next) !== sameness(state)) next = { ...next, dupes: '' };
  if (format(next) === format(state)) return;
  history[replace ? 'replaceState' : 'pushState']({ from: 'page' }, '', format(next));
  state = next;
  apply();
}

const change = (changes, replace) => go({ ...state, ...changes }, replace);

function apply(again = false) {
  useLibrary(state.library);
  box.show(state.text);
  chips.show(state);
  filters.show(state.filters);
  showSwitches();
  document.title = state.text.trim() ? t('title_search', { query: state.text.trim() }) : 'Osprey';
  $('heading').textContent = t(isSearch(state) ? 'heading_search' : 'heading_all');
  if (again || !source || sameness(source.state) !== sameness(state)) load();
  showDupes();
  showView();
}

function showSwitches() {
  $('switches').hidden = !isSearch(state);
  $('good-only').setAttribute('aria-pressed', String(state.good));
  $('rerank').setAttribute('aria-pressed', String(state.rerank));
  $('rerank').hidden = !status.stats?.rerank || texts(state.text).length === 0;
  $('every-page').setAttribute('aria-pressed', String(state.pages));
  $('every-page').hidden = Boolean(state.filters.hybrid) || (!state.pages && !source?.items.some(partOf));
}

/* ---- Pictures ---- */

async function load() {
  clearTimeout(retry);
  source?.stop();
  const mine = source = new Source(state);
  $('busy').hidden = false;
  try {
    await mine.more();
  } catch (problem) {
    if (mine !== source) return;
    $('busy').hidden = true;
    if (problem.name !== 'AbortError') fail(problem);
    return;
  }
  if (mine !== source) return;
  $('busy').hidden = true;
  $('toast').hidden = true;
  scrollTo(0, 0);
  grid.show(mine.items);
  arrived();
  showNotice();
  showView();
}

function showNotice() {
  const filtered = isFiltered(state);
  if (source.items.length) notices.noNotice();
  else if (status.stats?.images === 0) notices.noPictures(false, status.indexing, steps);
  else if (source.searching && state.good) notices.nothingGood(steps);
  else if (source.searching) notices.nothingFound(filtered, steps);
  else notices.noPictures(filtered, status.indexing, steps);
}

function arrived() {
  filters.learn(source.items.slice(-500));
  grid.grown(source.goodOnes(), source.done);
  $('more').hidden = !(source.done && source.items.length > 12);
  $('more').replaceChildren(source.cut ? t('the_most', { n: source.items.length }) : t('the_end'));
  showSwitches();
  count();
}

let failing = 0; // a page that did not come is asked for again, later and later

async function needMore() {
  const mine = source;
  if (!mine || mine.done || !mine.items.length || mine.pending || performance.now() < failing) return;
  try {
    await mine.more();
  } catch (problem) {
    if (mine !== source || problem.name === 'AbortError') return;
    failing = performance.now() + AGAIN;
    $('more').hidden = false;
    $('more').replaceChildren(h('span', {}, t(problem.kind === 'gone' ? 'gone_title' : 'fault_title')),
      h('button', { type: 'button', class: 'pill', onclick: () => { failing = 0; needMore(); } }, t('load_more')));
    return;
  }
  if (mine === source) arrived();
}

function count() {
  const n = source.total;
  if (!source.items.length) $('count').textContent = '';
  else if (!source.searching) $('count').textContent = n === null ? '' : t('count_all', { n });
  else {
    const good = source.goodOnes();
    const text = good ? t('count_good', { n: good }) : good === 0 ? t('count_no_good')
      : n === null ? t('count_many') : t('count_found', { n });
    $('count').textContent = t('count_took', { text, ms: Math.max(1, Math.round(source.took)) });
  }
}

function fail(problem) {
  source.failed = problem.kind;
  grid.show([]);
  $('more').hidden = true;
  $('count').textContent = '';
  notices.trouble(problem, status.indexing, steps);
  if (problem.kind === 'gone' || problem.kind === 'empty' || problem.kind === 'busy') retry = setTimeout(load, AGAIN);
}

const steps = {
  retry: () => load(),
  noFilters: () => change({ filters: {}, view: 0 }),
  notOnlyGood: () => change({ good: false }),
  home: () => go(nothing(state.library)),
  choose: () => $('choose').click(),
  firstLibrary: () => go(nothing()),
};

/* ---- One picture ---- */

/* What the full view leads through. */
const seen = () => (dupes.open ? dupes.items : source?.items ?? []);
const find = (id) => seen().find((item) => item.id === id);
const know = (id) => find(id) ?? get('/v1/images/' + id);

/* Where that is which the address names: the very page or frame, or else its file; or -1. */
function placeOf({ view, part }) {
  const exact = seen().findIndex((item) => item.id === view && partOf(item) === part);
  return exact < 0 ? seen().findIndex((item) => item.id === view) : exact;
}

/* Of the daemon: a page that the file no longer has is the file. */
async function ask({ view, part }) {
  const item = await get('/v1/images/' + view);
  const asked = part ? ofPart(item, part) : item;
  return !part || await isThere(thumbnail(asked, 320)) ? asked : item;
}

async function showView() {
  const { view, part } = state;
  const here = () => seen()[placeOf(state)];
  if (!view) {
    if (!viewer.open) return;
    const i = viewer.i;
    viewer.hide();
    focusOn(i);
    return;
  }
  if (viewer.open && isView(viewer.item, state)) {
    if (viewer.i < 0 && here()) viewer.show(isView(here(), state) ? here() : viewer.item, placeOf(state));
    return;
  }
  try {
    const item = isView(here(), state) ? here() : await ask(state);
    if (state.view !== view || state.part !== part) return;
    if (!isView(item, state)) {
      state = { ...state, part: '' };
      history.replaceState(history.state, '', format(state));
    }
    viewer.show(isView(here(), state) ? here() : item, placeOf(state)); // the list may have come meanwhile
  } catch (problem) {
    if (state.view !== view || state.part !== part) return;
    toast(t('not_shown'));
    change({ view: 0 }, true);
  }
}

const viewer = new Viewer({
  closed: (i) => {
    focusOn(i);
    // What this page opened, "back" closes; a bookmark of a picture has nothing behind it.
    if (history.state?.opened) history.back();
    else change({ view: 0 }, true);
  },
  moved: (item) => {
    const opened = history.state?.opened;
    state = { ...state, ...viewOf(item) };
    history.replaceState({ from: 'page', opened }, '', format(state));
  },
  like: (item, sign) => like(item, sign),
  filter: (name, value) => change({ filters: { ...state.filters, [name]: value }, view: 0 }),
  tag: (label) => showTagged(label),
  tagged: () => status.look(),
  at: async (i) => {
    if (i < 0) return null;
    if (dupes.open) return dupes.at(i);
    if (i >= source.items.length - 3) await needMore();
    return source.items[i] ?? null;
  },
  total: () => (dupes.open ? null : source?.total ?? null),
});

function focusOn(i) {
  if (i < 0) return;
  if (dupes.open) dupes.focus(i);
  else grid.focus(i);
}

function open(i) {
  const item = seen()[i];
  state = { ...state, ...viewOf(item) };
  history.pushState({ from: 'page', opened: true }, '', format(state));
  viewer.show(item, i);
}

/* All pictures that have a tag. */
const showTagged = (label) => go({ ...nothing(state.library), filters: { tag: inList(label) } });

function like(item, sign) {
  viewer.hide();
  go(withTerm(state, item.id, sign > 0 ? 1 : LESS));
}

/* ---- Copies ---- */

const dupes = new Dupes({
  // As of the full view.
  closed: () => {
    if (history.state?.sheet) history.back();
    else change({ dupes: '' }, true);
  },
  kinds: (kinds) => {
    state = { ...state, dupes: kinds };
    history.replaceState(history.state, '', format(state));
    showDupes();
  },
  view: (i) => open(i),
});

function openDupes() {
  state = { ...state, view: 0, dupes: KINDS.join(',') };
  history.pushState({ from: 'page', sheet: true }, '', format(state));
  apply();
}

function showDupes() {
  const kinds = tidyKinds(state.dupes);
  if (kinds) dupes.show(kinds, state.filters.folder ?? '');
  else dupes.hide();
}

/* ---- The parts ---- */

const grid = new Grid({
  open, like, needMore,
  pick: (item) => teach.toggle(item),
  passing: (item) => passing(source.searching || scrollY < 300 ? null : item),
  link: (item) => format({ ...state, ...viewOf(item) }),
});

const teach = new Teach({ picks: (picks) => grid.pick(picks), tagged: (label) => { showTagged(label); status.look(); } });
const actions = [[t('teach'), () => teach.start()], [t('dupes'), openDupes]];

const chips = new Chips({
  remove: (term) => change({ terms: state.terms.filter((other) => other !== term) }),
  weight: (term, weight) => change({ terms: state.terms.map((other) => (other === term ? { ...other, weight } : other)) }),
  removeFilter: (name) => {
    const { [name]: gone, ...rest } = state.filters;
    change({ filters: rest });
  },
  clear: () => go(nothing(state.library)),
  image: know,
});

const filters = new Filters({ change: (to) => change({ filters: to, view: 0 }, false) });

const box = new SearchBox({
  typed: (text) => {
    if (text.trim() === state.text.trim()) return;
    change({ text, view: 0 }, typing);
    typing = true;
  },
  settled: (text) => {
    if (text.trim() !== state.text.trim()) change({ text, view: 0 }, typing);
    else if (source?.failed) load();
    typing = false;
  },
  pictures: async (files) => {
    const terms = [];
    for (const file of files.slice(0, MOST_PICTURES)) {
      try {
        terms.push({ picture: await keep(file), weight: 1 });
      } catch {
        toast(t('not_a_picture', { name: file.name }));
      }
    }
    if (!terms.length) return;
    // A new picture is a new question; words that stand there go with it.
    change({ terms, view: 0 });
    if (files.length > MOST_PICTURES) toast(t('too_many'));
  },
  own: (i) => like(source.items[i], 1),
});

const status = new Status({
  changed: (stats, before) => {
    showSwitches();
    if (!before) filters.offerKinds(stats.kinds);
    $('english').hidden = language === 'en' || !knowsOnlyEnglish(stats);
    if (source.done && !source.failed) showNotice();
    if (!before) return;
    // The list grows under one's eyes only while one is at its beginning.
    if (!source.items.length) load();
    else if (!source.searching && atTop()) freshen();
    else if (!source.searching && (stats.images !== before.images || stats.indexing)) offerNew();
  },
});

/* Nobody is in the middle of something. */
const atTop = () => scrollY < 50 && !viewer.open && !$('tiles').contains(document.activeElement);

/* The listing anew, without a blink. */
async function freshen() {
  const old = source;
  const mine = new Source(state);
  await mine.more().catch(() => null);
  if (old !== source || !mine.items.length || !atTop()) return;
  old.stop();
  source = mine;
  grid.show(mine.items);
  arrived();
}

function offerNew() {
  if ($('indexing').querySelector('button')) return;
  $('indexing').hidden = false;
  $('indexing').append(h('button', { type: 'button', class: 'link', onclick: (event) => {
    event.target.remove();
    load();
  } }, t('new_pictures')));
}

/* ---- The beginning ---- */

function dress() {
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll('[data-t]')) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll('[data-icon]')) node.append(icon(node.dataset.icon));
  for (const node of document.querySelectorAll('[data-title]')) node.title = t(node.dataset.title);
  for (const node of document.querySelectorAll('[data-placeholder]')) node.placeholder = t(node.dataset.placeholder);
  for (const node of document.querySelectorAll('[data-label]')) {
    node.setAttribute('aria-label', t(node.dataset.label));
    if (node.tagName === 'BUTTON') node.title = t(node.dataset.label);
  }
  $('english').textContent = t('english_only');
}

/* What was learnt of another library. */
function forget() {
  teach.stop();
  coloursOf(state.library);
  filters.forget();
  status.forget();
}

function chooseLibrary(name) {
  go(nothing(name));
  forget();
}

addEventListener('popstate', () => {
  const before = state.library;
  state = parse(location.search);
  typing = false;
  apply();
  if (state.library !== before) forget();
});

$('good-only').addEventListener('click', () => change({ good: !state.good, view: 0 }));
$('rerank').addEventListener('click', () => change({ rerank: !state.rerank, view: 0 }));
$('every-page').addEventListener('click', () => change({ pages: !state.pages, view: 0 }));

$('home').addEventListener('click', (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go(nothing(state.library));
  scrollTo(0, 0);
});

dress();
watchMenu();
buildMenu([], state.library, chooseLibrary, actions);
onLogin(askLogin);
history.scrollRestoration = 'manual';
coloursOf(state.library);
apply(true);
status.look();
libraries().then((answer) => {
  buildMenu(answer.libraries, state.library, chooseLibrary, actions);
}, () => null);
