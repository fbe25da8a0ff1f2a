/* Asking the daemon. Errors are Problem: `kind` is what the page does about it. */

export class Problem extends Error {
  constructor(kind, message, status = 0) {
    super(message);
    this.kind = kind; // gone, login, busy, empty, library, large, refused, fault
    this.status = status;
  }
}

let library = '';
let atLogin = () => Promise.reject(new Problem('login', '', 401));

export const useLibrary = (name) => { library = name; };
/* `ask` resolves when someone has logged in. */
export const onLogin = (ask) => { atLogin = ask; };

function kindOf(status, message) {
  if (status === 401) return 'login';
  if (status === 413) return 'large';
  if (status === 429) return 'busy';
  if (status === 404 && /library/.test(message)) return 'library';
  if (status === 503 && /no pictures/.test(message)) return 'empty';
  if (status === 503) return 'busy';
  return status >= 500 ? 'fault' : 'refused';
}

const pause = (ms, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, ms);
  signal?.addEventListener('abort', () => {
    clearTimeout(timer);
    reject(signal.reason);
  }, { once: true });
});

async function once(path, options) {
  let answer;
  try {
    answer = await fetch(path, { credentials: 'same-origin', ...options });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Problem('gone', error.message);
  }
  if (answer.status === 204) return null;
  let body = null;
  try {
    body = await answer.json();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Problem('gone', error.message); // cut off in the middle
  }
  if (answer.ok) return body;
  const message = body?.error?.message ?? answer.statusText;
  const problem = new Problem(kindOf(answer.status, message), message, answer.status);
  problem.after = Number(answer.headers.get('Retry-After')) || 1;
  throw problem;
}

/* A full queue is waited for, a little; a missing login is asked for, once. */
async function ask(path, options = {}) {
  for (let tries = 0; ; tries++) {
    try {
      return await once(path, options);
    } catch (problem) {
      if (problem.status === 429 && tries < 3) await pause(problem.after * 1000, options.signal);
      else if (problem.kind === 'login' && tries < 1) await atLogin();
      else throw problem;
    }
  }
}

/* A path of the interface, with the library and what else is given. */
export function address(path, parameters = {}) {
  const all = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (Array.isArray(value)) value.forEach((one) => all.append(name, one));
    else if (value !== undefined && value !== null && value !== '') all.set(name, value);
  }
  if (library) all.set('library', library);
  const text = all.toString();
  return text ? path + '?' + text : path;
}

export const get = (path, parameters, signal) => ask(address(path, parameters), { signal });

/* Of no library: which there are. */
export const libraries = () => ask('/v1/libraries');

export const post = (path, body, signal) => ask(address(path), {
  method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body), signal,
});

export const login = (token) => once('/v1/login', {
  method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ token }),
});
export const logout = () => once('/v1/logout', { method: 'POST' });

/* Whether there is something behind a link: false where the daemon says that there is not. */
export const isThere = async (link) => ![400, 404].includes((await fetch(link, { credentials: 'same-origin' })).status);

/* A picture's link from an answer, in the size that fits so many device pixels. */
export function thumbnail(image, pixels) {
  const size = [160, 320, 640, 1280].find((s) => s >= pixels) ?? 1280;
  return image.thumbnail + (image.thumbnail.includes('?') ? '&' : '?') + 'size=' + size;
}
