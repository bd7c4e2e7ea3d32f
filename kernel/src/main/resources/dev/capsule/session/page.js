// Runs in the notebook's page, the same for every output; all that it believes of a frame is a number.
(() => {
  const frames = () => [...document.querySelectorAll('iframe.capsule-frame')];
  // The frames can be shown here, so what stands in for them need not be.
  document.querySelectorAll('pre.capsule-text').forEach(text => { text.style.display = 'none'; });
  if (window.capsuleFrames) return;
  window.capsuleFrames = true;
  const names = [
    ...['layout', 'inverse-layout', 'border', 'ui-font', 'ui-inverse-font', 'content-font', 'brand', 'accent', 'warn',
      'error', 'success', 'info'].flatMap(name => [0, 1, 2, 3, 4].map(n => `${name}-color${n}`)),
    ...['ui', 'content'].flatMap(name => [0, 1, 2, 3, 4, 5].map(n => `${name}-font-size${n}`)),
    'ui-font-family', 'content-font-family', 'content-line-height', 'content-link-color', 'content-heading-line-height',
    'content-heading-font-weight', 'content-heading-margin-top', 'content-heading-margin-bottom', 'code-font-family',
    'code-font-size', 'code-line-height', 'border-width', 'border-radius', 'rendermime-table-row-background',
    'rendermime-table-row-hover-background'
  ].map(name => '--jp-' + name);
  const look = frame => {
    const style = getComputedStyle(frame.parentElement);
    const values = { color: style.color, 'font-family': style.fontFamily, 'font-size': style.fontSize,
      'line-height': style.lineHeight };
    for (const name of names) {
      const value = style.getPropertyValue(name);
      if (value) values[name] = value;
    }
    frame.contentWindow.postMessage({ look: values, light: document.body.dataset.jpThemeLight !== 'false' }, '*');
  };
  addEventListener('message', event => {
    const frame = event.source && frames().find(frame => frame.contentWindow === event.source);
    if (!frame) return;
    if (event.data === 'ready') look(frame);
    else if (Number.isFinite(event.data)) frame.style.height = Math.min(Math.max(event.data, 0), 10000) + 'px';
  });
  new MutationObserver(() => frames().forEach(look))
    .observe(document.body, { attributes: true, attributeFilter: ['data-jp-theme-name', 'data-jp-theme-light'] });
})();
