/* Pages of scans and frames of films: what the address calls them, and what people read. A
 * result has `page` or `time_ms` where its file has several; a listing has neither. Both have
 * `pages`, how many there are, and `film`. */
import { h } from './dom.js';
import { clock, clockSaid, t } from './strings.js';

export const isFilm = (item) => Boolean(item.film);

/* As addresses have it: "page=7", "time=83000" (ms), or '' for the file as such. */
export const partOf = ({ page, time_ms: ms }) => (ms !== undefined ? 'time=' + ms : page ? 'page=' + page : '');

/* What of the state says that an item is in view, and whether it is that one. No part is
 * any: addresses of before had none. */
export const viewOf = (item) => ({ view: item.id, part: partOf(item) });
export const isView = (item, { view, part }) => item?.id === view && (!part || partOf(item) === part);

/* The item of a file as a result has it that is a part of that, {page | time_ms, thumbnail}. How
 * well another part fits is not said of this one. */
export const withPart = ({ score, match, page, time_ms: ms, ...file }, part) => ({ ...file, ...part });

/* The same of a part as addresses have it. */
export function ofPart(item, part) {
  const [name, value] = part.split('=');
  const thumbnail = item.thumbnail + (item.thumbnail.includes('?') ? '&' : '?') + part;
  return withPart(item, { [name === 'time' ? 'time_ms' : name]: Number(value), thumbnail });
}

/* The page of a scan that is seen, or undefined. */
export const pageOf = (item) => item.page ?? (item.pages && !isFilm(item) ? 1 : undefined);

const says = (item, time) => {
  if (item.time_ms !== undefined) return t('part_time', { time: time(item.time_ms) });
  if (item.page) return t('part_page', { n: item.page });
  if (isFilm(item)) return t('film');
  return item.pages ? t('part_pages', { n: item.pages }) : '';
};

/* "page 7", "at 1:23", "film", "40 pages", or '': to be seen, and to be read aloud. */
export const partText = (item) => says(item, clock);
export const partSaid = (item) => says(item, clockSaid);

/* The same on a picture; nothing where there is nothing to say. */
export function badge(item) {
  const text = partText(item);
  return text ? h('span', { class: 'part' }, h('span', { 'aria-hidden': 'true' }, text), aloud(item)) : null;
}

/* Behind a name, for those who hear it. */
export const aloud = (item) => (partText(item) ? h('span', { class: 'hidden' }, ', ' + partSaid(item)) : null);
