/* Copies side by side: the groups that /v1/dupes tells, the one to keep first. Nothing is
 * removed from here: the paths of the others can be copied, and the command that writes a
 * script to read and to run. */
import { $, h } from './dom.js';
import { bytes, percent, t, when, whenHere } from './strings.js';
import { get, thumbnail } from './api.js';
import { nameOf } from './grid.js';
import { Sheet } from './sheet.js';

export const KINDS = ['identical', 'same', 'near'];

const FIRST = 10; // groups of the first page
const NEXT = 30;
const AGAIN = 800; // ms between questions how far it is
const AHEAD = '800px'; // below the window, where the next page is asked for

/* "same,identical" in the order of KINDS; null for what is none of them. */
export function tidyKinds(text) {
  const kinds = KINDS.filter((kind) => (text ?? '').split(',').includes(kind));
  return kinds.length ? kinds.join(',') : null;
}

const quoted = (text) => (/^[\w./-]+$/.test(text) ? text : "'" + text.replaceAll("'", "'\\''") + "'");
const folderOf = (image) => [image.folder.replace(/\/$/, ''), ...image.path.split('/').slice(0, -1)].join('/') || '/';
const pathOf = (image) => image.folder.replace(/\/$/, '') + '/' + image.path;
const dateOf = (image) => Math.floor((image.taken_at ?? image.modified_at) / 60); // as it is shown: to the minute
const dateText = (image) => (image.taken_at ? when(image.taken_at) : whenHere(image.modified_at));

/* What a picture has most of in its group, where they differ: keys of texts. */
function marks(members) {
  const facts = [
    ['dupes_most_pixels', (m) => m.image.width * m.image.height, Math.max],
    ['dupes_largest', (m) => m.image.size, Math.max],
    ['dupes_oldest', (m) => dateOf(m.image), Math.min],
  ];
  const of = new Map(members.map((m) => [m, []]));
  for (const [key, value, best] of facts) {
    const values = members.map(value);
    const winner = best(...values);
    if (values.every((v) => v === winner)) continue;
    members.filter((m, i) => values[i] === winner).forEach((m) => of.get(m).push(key));
  }
  return of;
}

/* Also where the page has no right to the clipboard: it came over plain HTTP. */
async function copy(text, near) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h('textarea', { class: 'hidden', 'aria-hidden': 'true', tabindex: '-1' });
    const had = document.activeElement;
    area.value = text;
    near.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    had?.focus();
    return done;
  }
}

export class Dupes {
  /* calls: closed(), kinds(text), view(i): of items */
  constructor(calls) {
    this.calls = calls;
    this.items = []; // pictures in the order in which they stand
    this.kinds = '';
    this.sheet = new Sheet($('dupes'), () => calls.closed());
  }

  get open() { return this.sheet.open; }

  show(kinds, folder) {
    if (!this.open) this.build();
    else if (kinds === this.kinds && folder === this.folder) return;
    this.kinds = kinds;
    this.folder = folder;
    for (const [kind, box] of this.boxes) box.checked = kinds.split(',').includes(kind);
    this.about.textContent = folder ? t('dupes_folder', { folder }) : '';
    this.about.hidden = !folder;
    this.load();
  }

  hide() {
    if (!this.open) return;
    this.stop();
    this.sheet.hide();
    this.sheet.body.replaceChildren();
    this.items = [];
  }

  build() {
    const { sheet } = this;
    sheet.show(t('dupes'));
    const box = (kind) => [kind, h('input', { type: 'checkbox', name: kind, onchange: () => this.choose() })];
    this.boxes = new Map(KINDS.map(box));
    this.about = h('p', { class: 'sheet-text' });
    this.state = h('p', { class: 'dupes-state', role: 'status' });
    this.bar = h('progress', { class: 'dupes-progress', max: '1', 'aria-label': t('dupes_looking'), hidden: true });
    this.blind = h('p', { class: 'dupes-blind', hidden: true });
    this.list = h('ul', { class: 'copies' });
    this.end = h('p', { class: 'more', hidden: true });
    sheet.body.append(h('p', { class: 'sheet-text' }, t('dupes_text')), this.about,
      h('fieldset', { class: 'dupes-kinds' }, h('legend', { class: 'hidden' }, t('dupes_kinds')),
        [...this.boxes].map(([kind, input]) => h('label', { class: 'dupes-kind', title: t('dupes_about_' + kind) }, input, h('span', {}, t('dupes_' + kind))))),
      this.state, this.bar, this.blind, this.list, this.end);
    this.paths = h('button', { type: 'button', class: 'pill', disabled: true, onclick: () => this.copyPaths() }, t('dupes_copy_paths'));
    this.command = h('button', { type: 'button', class: 'pill', onclick: () => this.copyCommand() }, t('dupes_copy_command'));
    this.told = h('p', { class: 'sheet-count', role: 'status' });
    sheet.foot.append(this.told, this.paths, this.command);
    this.watch = new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) this.more(); }, { root: sheet.body, rootMargin: AHEAD });
  }

  choose() {
    const chosen = KINDS.filter((kind) => this.boxes.get(kind).checked);
    if (!chosen.length) { // one must be left
      for (const kind of this.kinds.split(',')) this.boxes.get(kind).checked = true;
      return;
    }
    this.calls.kinds(chosen.join(','));
  }

  /* ---- Getting them ---- */

  stop() {
    this.abort?.abort();
    this.watch?.disconnect();
    clearTimeout(this.timer);
  }

  /* From the beginning. */
  load() {
    this.stop();
    this.abort = new AbortController();
    this.items = [];
    this.goers = [];
    this.next = 0;
    this.version = 0;
    this.groups = 0;
    this.asking = false;
    this.list.replaceChildren();
    this.end.hidden = true;
    this.blind.hidden = true;
    this.told.textContent = '';
    this.tell();
    this.say(t('dupes_looking'));
    this.more();
  }

  say(text) { if (this.state.textContent !== text) this.state.textContent = text; }

  async more() {
    if (this.asking || this.next === null) return;
    const { signal } = this.abort;
    this.asking = true;
    let answer;
    try {
      answer = await get('/v1/dupes', { kinds: this.kinds, folder: this.folder, offset: this.next, limit: this.next ? NEXT : FIRST }, signal);
    } catch (problem) {
      if (signal.aborted) return;
      this.asking = false;
      this.failed(problem);
      return;
    }
    if (signal.aborted) return;
    this.asking = false;
    if (answer.version === undefined) this.wait(answer);
    else if (this.version && answer.version !== this.version) this.load(); // the pictures have changed
    else this.take(answer);
  }

  /* Not found yet. */
  wait({ progress }) {
    this.bar.hidden = false;
    if (progress > 0) this.bar.value = progress;
    else this.bar.removeAttribute('value');
    this.say(progress > 0 ? t('dupes_looking_at', { share: percent(progress) }) : t('dupes_looking'));
    this.timer = setTimeout(() => this.more(), AGAIN);
  }

  failed(problem) {
    this.bar.hidden = true;
    this.watch.disconnect();
    const text = problem.kind === 'refused' ? problem.message : t(problem.kind === 'gone' ? 'gone_title' : problem.kind === 'busy' ? 'busy_title' : 'fault_title');
    if (!this.groups) this.say(text);
    this.end.hidden = false;
    this.end.replaceChildren(this.groups ? h('span', {}, text) : '', h('button', { type: 'button', class: 'pill', onclick: () => {
      this.end.hidden = true;
      this.more();
    } }, t('gone_step')));
  }

  take(answer) {
    this.version = answer.version;
    this.next = answer.next ?? null;
    this.groups += answer.groups.length;
    this.bar.hidden = true;
    this.blind.hidden = !answer.blind;
    this.blind.replaceChildren(t('dupes_blind', { n: answer.blind }), ' ', h('code', {}, 'osprey dupes'));
    this.list.append(...answer.groups.map((group) => this.group(group)));
    this.end.hidden = this.next !== null || this.groups < 3;
    this.end.replaceChildren(t('the_end'));
    const found = answer.total ? t('dupes_found', { n: answer.copies, all: answer.pictures, groups: t('dupes_groups', { n: answer.total }) })
      : t('dupes_none', { n: answer.pictures });
    this.found = found;
    this.say(answer.state === 'ready' ? found : t('dupes_again', { found }));
    this.tell();
    this.watch.disconnect();
    if (this.next !== null && this.list.lastElementChild) this.watch.observe(this.list.lastElementChild);
    else if (this.next !== null) this.more(); // what was on this page has gone
    if (answer.state !== 'ready') this.followSoon();
  }

  followSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.follow(), AGAIN);
  }

  /* Whether something else was found meanwhile. Who reads further down is not disturbed: the
   * next page will tell. */
  async follow() {
    const { signal } = this.abort;
    const answer = await get('/v1/dupes', { kinds: this.kinds, folder: this.folder, limit: 1 }, signal).catch(() => null);
    if (signal.aborted || !answer) return;
    if (answer.version !== this.version) {
      if (this.sheet.body.scrollTop < 50) this.load();
    } else if (answer.state === 'ready') this.say(this.found);
    else this.followSoon();
  }

  /* ---- What is seen ---- */

  group(group) {
    const of = marks(group.members);
    const beyond = group.n - group.members.length;
    return h('li', { class: 'copies-group' },
      h('h3', {}, t('count_all', { n: group.n }), h('span', { class: 'copies-why' }, t('dupes_why_' + group.reason))),
      h('ul', { class: 'copies-row' }, group.members.map((member) => this.member(member, of.get(member), group))),
      beyond > 0 && h('p', { class: 'copies-why' }, t('dupes_beyond', { n: beyond })));
  }

  member(member, own, group) {
    const { image, kind } = member;
    const [{ image: best }] = group.members;
    const name = nameOf(image);
    const i = this.items.push(image) - 1;
    const keep = kind === 'keep';
    if (!keep) this.goers.push(image);
    const fact = (text, same) => h('li', { class: keep || same ? null : 'differs' }, text);
    const label = keep ? t('dupes_keep') : kind === 'identical' ? t('dupes_identical') : t('dupes_' + kind) + ' ' + percent(member.score);
    return h('li', { class: keep ? 'copy keep' : 'copy' },
      h('button', { type: 'button', class: 'copy-open', 'data-i': i, 'aria-label': t('dupes_open', { name }), onclick: () => this.calls.view(i) },
        h('img', { src: thumbnail(image, (innerWidth > 2000 ? 420 : 300) * Math.min(devicePixelRatio || 1, 2)), alt: '', loading: 'lazy', decoding: 'async' })),
      h('p', { class: 'copy-kind' }, label),
      h('p', { class: 'copy-name' }, name),
      h('p', { class: 'copy-folder' }, folderOf(image).split(/(?<=\/)/).flatMap((part) => [part, h('wbr')])),
      h('ul', { class: 'copy-facts' },
        fact(t('m_pixels', { w: image.width, h: image.height }), image.width === best.width && image.height === best.height),
        fact(bytes(image.size) + ' · ' + image.kind, image.size === best.size && image.kind === best.kind),
        fact(dateText(image), dateOf(image) === dateOf(best))),
      own.length > 0 && h('p', { class: 'copy-marks' }, own.map((key) => h('span', {}, t(key)))));
  }

  /* Back from the full view. */
  focus(i) { this.list.querySelector(`[data-i="${i}"]`)?.focus(); }

  /* The picture after the last one that is there, if more can come. */
  async at(i) {
    if (i >= this.items.length - 1 && !this.asking) await this.more();
    return this.items[i] ?? null;
  }

  /* ---- What can be done ---- */

  tell() {
    this.paths.disabled = !this.goers.length;
    this.paths.textContent = this.goers.length ? t('dupes_copy_n', { n: this.goers.length }) : t('dupes_copy_paths');
  }

  async copyPaths() {
    const done = await copy(this.goers.map(pathOf).join('\n') + '\n', this.sheet.foot);
    this.told.textContent = t(!done ? 'dupes_not_copied' : this.next === null ? 'dupes_copied' : 'dupes_copied_part', { n: this.goers.length });
  }

  async copyCommand() {
    const kinds = this.kinds === KINDS.join(',') ? '' : ' --kinds ' + this.kinds;
    const command = 'osprey dupes' + kinds + ' --script tidy.sh' + (this.folder ? ' ' + quoted(this.folder) : '');
    const done = await copy(command, this.sheet.foot);
    this.told.replaceChildren(t(done ? 'dupes_command_copied' : 'dupes_command'), ' ', h('code', {}, command));
  }
}
