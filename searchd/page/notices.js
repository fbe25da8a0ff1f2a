/* What stands in the pictures' place when there are none: what happened, and a next
 * step. */
import { $, h } from './dom.js';
import { t } from './strings.js';

export function notice(title, texts, steps = []) {
  $('notice').replaceChildren(
    h('h2', {}, title),
    ...texts.filter(Boolean).map((text) => (text instanceof Node ? text : h('p', {}, text))),
    h('p', { class: 'steps' }, steps.map(([label, f]) => h('button', { type: 'button', class: 'pill strong', onclick: f }, label))));
  $('notice').hidden = false;
}

export const noNotice = () => { $('notice').hidden = true; };

const command = (text) => h('pre', { class: 'command' }, text);

/* calls: retry(), noFilters(), notOnlyGood(), home(), choose(), firstLibrary() */
export function noPictures(filtered, indexing, calls) {
  if (filtered) notice(t('none_title'), [t('none_text')], [[t('none_step'), calls.noFilters]]);
  else if (indexing) notice(t('empty_title'), [t('empty_busy')]);
  else notice(t('empty_title'), [t('empty_text'), command('osprey index ~/Pictures')]);
}

export function nothingFound(filtered, calls) {
  notice(t('none_title'), [filtered ? t('none_text') : ''],
    [filtered ? [t('none_step'), calls.noFilters] : [t('show_all'), calls.home]]);
}

export function nothingGood(calls) {
  notice(t('count_no_good'), [t('no_good_text')], [[t('no_good_step'), calls.notOnlyGood]]);
}

export function trouble(problem, indexing, calls) {
  switch (problem.kind) {
    case 'empty': return noPictures(false, indexing, calls);
    case 'gone': return notice(t('gone_title'), [t('gone_text'), command('osprey serve')], [[t('gone_step'), calls.retry]]);
    case 'busy': return notice(t('busy_title'), [t('busy_text')], [[t('gone_step'), calls.retry]]);
    case 'library': return notice(t('library_title'), [problem.message], [[t('library_step'), calls.firstLibrary]]);
    case 'large': return notice(t('refused_title'), [t('large_text')], [[t('picture_gone_step'), calls.choose]]);
    case 'picture_gone': return notice(t('picture_gone_title'), [t('picture_gone_text')], [[t('picture_gone_step'), calls.choose], [t('show_all'), calls.home]]);
    default: return notice(t('fault_title'), [problem.message], [[t('gone_step'), calls.retry], [t('show_all'), calls.home]]);
  }
}
