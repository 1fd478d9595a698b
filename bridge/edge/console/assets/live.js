"use strict";
// The overview fetches itself anew when the bridge says that something has changed. Without this file it does so by the clock.
(() => {
  const live = () => document.getElementById("live");
  if (!window.EventSource || !window.htmx || !live()) return;
  let stream = null;
  const rest = () => {
    if (stream) stream.close();
    stream = null;
  };
  const listen = () => {
    if (stream || document.hidden) return;
    stream = new EventSource("/console/live?seen=" + live().dataset.print);
    stream.addEventListener("changed", () => window.htmx.trigger("#live", "renew"));
    stream.addEventListener("error", () => {
      if (stream && stream.readyState === EventSource.CLOSED) stream = null;
    });
  };
  // A browser opens few connections to one host: a page that nobody looks at gives its own away.
  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : listen()));
  window.addEventListener("pagehide", rest);
  window.addEventListener("pageshow", listen);
  listen();
})();
