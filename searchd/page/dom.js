/* Small helpers: elements, icons, what the browser keeps. */

export const $ = (id) => document.getElementById(id);

/* h('a', {href, class, onclick, 'aria-label', hidden}, child...) */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

const PATHS = {
  search: 'M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5 20.5 20.5',
  close: 'M6 6l12 12M18 6 6 18',
  picture: 'M5 5h14a1.5 1.5 0 0 1 1.5 1.5v11a1.5 1.5 0 0 1-1.5 1.5H5a1.5 1.5 0 0 1-1.5-1.5v-11A1.5 1.5 0 0 1 5 5zM4 16l4.5-4.5 3.5 3.5 3-3 5 4.5M15.5 8.5v.01',
  filter: 'M4 7h10M18 7h2M4 17h2M10 17h10M16 5v4M8 15v4',
  menu: 'M12 5.5v.01M12 12v.01M12 18.5v.01',
  more: 'M12 5v14M5 12h14',
  less: 'M5 12h14',
  previous: 'M15 5l-7 7 7 7',
  next: 'M9 5l7 7-7 7',
  info: 'M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM12 11v5M12 8v.01',
  open: 'M14 5h5v5M19 5l-8 8M10 6H6a1 1 0 0 0-1 1v11a1 1 0 0 0 1 1h11a1 1 0 0 0 1-1v-4',
  download: 'M12 4v11M7 11l5 5 5-5M5 20h14',
  folder: 'M4 6.5A1.5 1.5 0 0 1 5.5 5H10l2 2.5h6.5A1.5 1.5 0 0 1 20 9v8.5a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 17.5z',
  sorry: 'M4 7v10.5A1.5 1.5 0 0 0 5.5 19H17M8 5h10.5A1.5 1.5 0 0 1 20 6.5V16M4 4l16 16',
};

export function icon(name) {
  const space = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(space, 'svg');
  const path = document.createElementNS(space, 'path');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}

/* A button that is an icon; the label is its name and its tooltip. */
export function iconButton(name, label, onclick, attributes = {}) {
  return h('button', { type: 'button', class: 'round', 'aria-label': label, title: label, onclick, ...attributes }, icon(name));
}

/* localStorage and sessionStorage may be full or forbidden: then nothing is kept. */
export function kept(key, value, store = 'localStorage') {
  try {
    if (value === undefined) return window[store].getItem('osprey.' + key);
    if (value === null) window[store].removeItem('osprey.' + key);
    else window[store].setItem('osprey.' + key, value);
  } catch { /* as above */ }
  return null;
}

export function debounce(f, ms) {
  let timer = 0;
  const later = (...args) => {
    clearTimeout(timer);
    timer = setTimeout(f, ms, ...args);
  };
  later.cancel = () => clearTimeout(timer);
  return later;
}

let toastTimer = 0;
export function toast(text) {
  const node = $('toast');
  node.textContent = text;
  node.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { node.hidden = true; }, 5000);
}
