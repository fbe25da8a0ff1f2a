/* What the page says, in the reader's language; numbers, dates and sizes likewise. */
import en from './lang_en.js';
import de from './lang_de.js';
import { kept } from './dom.js';

const LANGUAGES = { en, de };
const wanted = () => navigator.languages.map((l) => l.slice(0, 2)).find((l) => LANGUAGES[l]);

export const languages = { en: 'English', de: 'Deutsch' };
export const language = LANGUAGES[kept('language')] ? kept('language') : wanted() ?? 'en';

const words = LANGUAGES[language];
const plural = new Intl.PluralRules(language);
const number = new Intl.NumberFormat(language);

/* "{n} picture|{n} pictures": the first for one. */
export function t(key, values = {}) {
  let text = words[key] ?? en[key] ?? key;
  const bar = text.indexOf('|');
  if (bar >= 0) text = plural.select(values.n ?? 0) === 'one' ? text.slice(0, bar) : text.slice(bar + 1);
  return text.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === 'number' ? number.format(values[name]) : values[name]));
}

export const count = (n) => number.format(n);
/* "45 seconds", "3 minutes", "2 hours" */
export function duration(seconds) {
  const [unit, n] = seconds < 60 ? ['second', seconds] : seconds < 3600 ? ['minute', seconds / 60] : ['hour', seconds / 3600];
  return new Intl.NumberFormat(language, { style: 'unit', unit, unitDisplay: 'long', maximumFractionDigits: 0 }).format(Math.ceil(n));
}
/* A time in a film as people read it, "1:23" or "1:02:03", and as it is read aloud, "1 minute,
 * 23 seconds". */
const sinceStart = (ms) => [ms / 3_600_000, (ms / 60_000) % 60, (ms / 1000) % 60].map(Math.floor);
export function clock(ms) {
  const [hours, ...rest] = sinceStart(ms);
  const [first, ...others] = hours ? [hours, ...rest] : rest;
  return [first, ...others.map((n) => String(n).padStart(2, '0'))].join(':');
}
export function clockSaid(ms) {
  const units = ['hour', 'minute', 'second'];
  const all = sinceStart(ms).map((n, i) => [n, new Intl.NumberFormat(language, { style: 'unit', unit: units[i], unitDisplay: 'long' }).format(n)]);
  const said = all.filter(([n], i) => n || (i === 2 && ms < 1000)).map(([, text]) => text);
  return new Intl.ListFormat(language, { type: 'unit' }).format(said);
}
export const percent = (x) => new Intl.NumberFormat(language, { style: 'percent' }).format(x);
/* EXIF has the camera's own clock without a zone: it is shown as it was set. */
export const when = (seconds) => new Intl.DateTimeFormat(language, { dateStyle: 'long', timeStyle: 'short', timeZone: 'UTC' }).format(seconds * 1000);
export const whenHere = (seconds) => new Intl.DateTimeFormat(language, { dateStyle: 'long', timeStyle: 'short' }).format(seconds * 1000);
export const month = (seconds) => new Intl.DateTimeFormat(language, { month: 'long', year: 'numeric', timeZone: 'UTC' }).format(seconds * 1000);
export const day = (text) => new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeZone: 'UTC' }).format(new Date(text + 'T00:00:00Z'));

export function bytes(n) {
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte'];
  let at = 0;
  for (; n >= 1000 && at < 3; at++) n /= 1000;
  return new Intl.NumberFormat(language, { style: 'unit', unit: units[at], unitDisplay: at ? 'short' : 'long', maximumFractionDigits: n < 10 && at ? 1 : 0 }).format(n);
}
