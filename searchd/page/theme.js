/* Before anything is drawn: the theme that was chosen, where one was. */
(function () {
  try {
    const theme = localStorage.getItem('osprey.theme');
    if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
  } catch { /* a browser that keeps nothing */ }
})();
