"""What everybody needs of a page, as far as a program can tell: names for what can be
operated, alternatives for pictures, one of each id, labels, contrast (WCAG 2.2, AA).
axe-core looks as well where $OSPREY_AXE or .deps/axe-core has it (tools/setup/axe.sh)."""

import os

SOURCE = os.environ["OSPREY_SOURCE"]

CHECK = r"""
const faults = [];
const seen = (n) => n.checkVisibility({checkOpacity: false, checkVisibilityCSS: true}) && n.getBoundingClientRect().width > 1;
const modal = document.querySelector('dialog:modal');
const root = modal ?? document.body;
const all = (selector) => [...root.querySelectorAll(selector)].filter(seen);
const short = (n) => n.outerHTML.slice(0, 160);

function nameOf(n) {
  const by = n.getAttribute('aria-labelledby');
  if (by) return by.split(/\s+/).map((id) => document.getElementById(id)?.textContent ?? '').join(' ').trim();
  if (n.getAttribute('aria-label')) return n.getAttribute('aria-label').trim();
  if (n.labels?.length) return [...n.labels].map((l) => l.textContent).join(' ').trim();
  if (n.matches('input, select')) return '';
  return (n.textContent + [...n.querySelectorAll('img')].map((i) => i.alt).join(' ')).trim();
}
for (const n of all('button, a[href], input, select, dialog, [role]')) {
  if (n.matches('[role=list], [role=listitem], [role=status], [role=alert], [role=search]')) continue;
  if (!nameOf(n)) faults.push('no name: ' + short(n));
}
for (const n of all('img')) if (!n.hasAttribute('alt')) faults.push('no alt: ' + short(n));
const ids = [...document.querySelectorAll('[id]')].map((n) => n.id);
for (const id of new Set(ids)) if (ids.filter((i) => i === id).length > 1) faults.push('id twice: ' + id);
for (const n of document.querySelectorAll('[aria-controls], [aria-labelledby], [aria-describedby]'))
  for (const a of ['aria-controls', 'aria-labelledby', 'aria-describedby'])
    for (const id of (n.getAttribute(a) ?? '').split(/\s+/).filter(Boolean))
      if (!document.getElementById(id)) faults.push(a + ' points nowhere: ' + short(n));
for (const list of all('[role=list]'))
  for (const c of list.children) if (c.getAttribute('role') !== 'listitem') faults.push('no listitem: ' + short(c));
for (const n of all('button, a[href]')) if (n.querySelector('button, a[href], input')) faults.push('nested: ' + short(n));
if (!document.documentElement.lang) faults.push('no lang');
if (document.querySelectorAll('main').length !== 1 || !document.querySelector('h1')?.textContent) faults.push('no main, or no h1');

const paint = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
function rgba(colour) {
  paint.clearRect(0, 0, 1, 1);
  paint.fillStyle = colour;
  paint.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = paint.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
}
const over = (top, under) => top.slice(0, 3).map((c, i) => c * top[3] + under[i] * (1 - top[3])).concat(1);
const behind = (n) => {
  const stack = [];
  for (let at = n; at; at = at.parentElement) stack.push(rgba(getComputedStyle(at).backgroundColor));
  return stack.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
};
const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => (c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4))
  .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
function contrast(n, colour) {
  const back = behind(n);
  const [a, b] = [light(over(rgba(colour), back)), light(back)].sort((x, y) => y - x);
  return (a + .05) / (b + .05);
}
const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
const looked = new Set();
while (walker.nextNode()) {
  const n = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || looked.has(n) || !seen(n) || n.closest('.hidden, .skip, option')) continue;
  looked.add(n);
  const style = getComputedStyle(n);
  const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
  const ratio = contrast(n, style.color);
  if (ratio < (large ? 3 : 4.5)) faults.push('contrast ' + ratio.toFixed(2) + ': ' + short(n));
}
for (const n of all('input')) {
  const ratio = contrast(n, getComputedStyle(n, '::placeholder').color);
  if (n.placeholder && ratio < 4.5) faults.push('contrast of the placeholder ' + ratio.toFixed(2));
}
for (const n of all('input:not([type=radio]), select')) {
  const style = getComputedStyle(n);
  if (parseFloat(style.borderTopWidth) && contrast(n.parentElement, style.borderTopColor) < 3) faults.push('faint edge: ' + short(n));
}
for (const n of all('button svg, a svg')) {
  const ratio = contrast(n.parentElement, getComputedStyle(n).stroke);
  if (ratio < 3 && !n.closest('.tile')) faults.push('contrast of an icon ' + ratio.toFixed(2) + ': ' + short(n.parentElement));
}
for (const n of all('button, a[href], input, select')) {
  const box = n.getBoundingClientRect();
  if ((box.width < 24 || box.height < 24) && !n.closest('p, dd') && !n.matches('.link')) faults.push('small: ' + short(n));
}
return faults;
"""

AXE = """const done = arguments[0];
axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}).then(
  (found) => done(found.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.html.slice(0, 160) + ' ' + n.failureSummary).join(' | '))),
  (error) => done(['axe: ' + error]));"""


def axe_source():
    for path in (os.environ.get("OSPREY_AXE"), os.path.join(SOURCE, ".deps/axe-core/package/axe.min.js")):
        if path and os.path.isfile(path):
            with open(path, encoding="utf-8") as f:
                return f.read()
    return None


def faults(browser, axe=True):
    found = browser.run(CHECK)
    source = axe_source() if axe else None
    if source:
        browser.run(source + "; window.axe = axe; return true")
        found += browser.run_async(AXE)
    return found
