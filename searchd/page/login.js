/* The dialog that asks for the token when the daemon does; the daemon keeps it in a
 * cookie that scripts cannot read. */
import { $, h, kept } from './dom.js';
import { t } from './strings.js';
import { login } from './api.js';

let asked = null; // one dialog for all requests that wait

export function askLogin() {
  asked ??= new Promise((resolve) => {
    const dialog = $('login');
    const token = h('input', { id: 'token', type: 'password', name: 'token', required: true, autocomplete: 'current-password', 'aria-describedby': 'login-error' });
    const error = h('p', { id: 'login-error', class: 'error', role: 'alert' });
    const form = h('form', { method: 'dialog' },
      h('h2', { id: 'login-title' }, t('login_title')), h('p', {}, t('login_text')),
      h('label', { for: 'token' }, t('login_token')), token, error,
      h('button', { type: 'submit', class: 'pill strong' }, t('login_button')));
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      error.textContent = '';
      try {
        await login(token.value.trim());
      } catch (problem) {
        error.textContent = problem.status === 401 ? t('login_wrong') : t(problem.kind === 'gone' ? 'gone_text' : 'fault_title');
        token.select();
        return;
      }
      kept('logged_in', 'yes');
      dialog.close();
      asked = null;
      resolve();
    });
    dialog.addEventListener('cancel', (event) => event.preventDefault());
    dialog.replaceChildren(form);
    dialog.setAttribute('aria-labelledby', 'login-title');
    if (!dialog.open) dialog.showModal();
    token.focus();
  });
  return asked;
}
