/* The menu: library, appearance, language, log out. */
import { $, h, kept } from './dom.js';
import { language, languages, t } from './strings.js';
import { logout } from './api.js';

const row = (id, label, input) => h('div', { class: 'field' }, h('label', { for: id }, label), input);
const select = (id, list, value, onchange) => {
  const node = h('select', { id, onchange: () => onchange(node.value) }, list.map(([v, text]) => h('option', { value: v, selected: v === value }, text)));
  return node;
};

function setTheme(theme) {
  kept('theme', theme || null);
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

function setLanguage(name) {
  kept('language', name);
  location.reload(); // the address has the whole query
}

async function leave() {
  kept('logged_in', null);
  await logout().catch(() => null);
  location.reload();
}

/* libraries: names, the first is the default; onLibrary(name); actions: [text, what to do] */
export function buildMenu(libraries, library, onLibrary, actions) {
  const menu = $('menu');
  menu.replaceChildren(...[
    libraries.length > 1 && row('m-library', t('library'), select('m-library', libraries.map((name) => [name, name]), library || libraries[0], (name) => {
      toggle(false);
      onLibrary(name === libraries[0] ? '' : name);
    })),
    ...actions.map(([text, act]) => h('button', { type: 'button', class: 'pill', onclick: () => {
      toggle(false);
      act();
    } }, text)),
    row('m-theme', t('theme'), select('m-theme', [['', t('theme_auto')], ['light', t('theme_light')], ['dark', t('theme_dark')]], kept('theme') ?? '', setTheme)),
    row('m-language', t('language'), select('m-language', Object.entries(languages), language, setLanguage)),
    h('a', { class: 'link', href: '/openapi.json' }, t('api')),
    kept('logged_in') && h('button', { type: 'button', class: 'link', onclick: leave }, t('logout')),
  ].filter(Boolean));
}

export function toggle(open = $('menu').hidden) {
  $('menu').hidden = !open;
  $('menu-button').setAttribute('aria-expanded', String(open));
}

export function watchMenu() {
  $('menu-button').addEventListener('click', () => {
    toggle();
    if (!$('menu').hidden) $('menu').querySelector('select, button').focus();
  });
  $('menu').addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return;
    toggle(false);
    $('menu-button').focus();
  });
  addEventListener('pointerdown', (event) => {
    if (!event.target.closest('#menu, #menu-button')) toggle(false);
  });
}
