/* Pictures of the reader's own, as queries. They go to the daemon with each search
 * and are kept by the tab alone, under a name made of their bytes, so that "back"
 * finds them. What the daemon cannot decode, or what is large, is drawn anew. */
import { kept } from './dom.js';

const SMALL = 400_000; // bytes that are sent as they are
const SIDE = 768; // pixels; models look at a few hundred
const TAKEN = ['image/jpeg', 'image/png', 'image/webp', 'image/gif', 'image/avif', 'image/bmp'];

const known = new Map(); // name -> data URL

const asDataUrl = (blob) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result);
  reader.onerror = () => reject(reader.error);
  reader.readAsDataURL(blob);
});

async function redraw(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const paint = canvas.getContext('2d');
  paint.fillStyle = '#fff';
  paint.fillRect(0, 0, canvas.width, canvas.height);
  paint.imageSmoothingQuality = 'high';
  paint.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('not drawn'))), 'image/jpeg', 0.92);
  });
}

function nameOf(text) { // FNV-1a, twice: a name within this tab, no more
  let a = 0x811c9dc5;
  let b = 0x01234567;
  for (let i = 0; i < text.length; i++) {
    a = Math.imul(a ^ text.charCodeAt(i), 0x01000193) >>> 0;
    b = Math.imul(b ^ text.charCodeAt(i), 0x01000193) >>> 0;
  }
  return a.toString(36) + b.toString(36);
}

/* The picture's name; throws when the file is none. */
export async function keep(file) {
  let blob = file;
  if (!TAKEN.includes(file.type) || file.size > SMALL) {
    try {
      blob = await redraw(file);
    } catch (error) {
      if (!TAKEN.includes(file.type)) throw error;
    }
  }
  const url = await asDataUrl(blob);
  const name = nameOf(url);
  known.set(name, url);
  kept('picture.' + name, url, 'sessionStorage');
  return name;
}

export const dataUrl = (name) => known.get(name) ?? kept('picture.' + name, undefined, 'sessionStorage');
