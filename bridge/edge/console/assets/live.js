"use strict";
// The overview fetches itself anew when the bridge says that something has changed. Without this file it does so by the clock.
// Where it can't, it says so: nobody shall go on reading that all is well when the bridge is gone.
(() => {
  const PATIENCE = 60000; // milliseconds without a new page, three times as long as the clock takes
  const live = () => document.getElementById("live");
  if (!window.EventSource || !window.htmx || !live()) return;
  let renewed = Date.now();
  const old = (is) => (document.getElementById("old").hidden = !is);
  for (const fault of ["htmx:sendError", "htmx:responseError"]) document.addEventListener(fault, () => old(true));
  document.addEventListener("htmx:afterSwap", () => {
    renewed = Date.now();
    old(false);
  });
  setInterval(() => Date.now() - renewed > PATIENCE && old(true), PATIENCE / 6);
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
      window.htmx.trigger("#live", "renew");
    });
  };
  // A browser opens few connections to one host: a page that nobody looks at gives its own away.
  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : listen()));
  window.addEventListener("pagehide", rest);
  window.addEventListener("pageshow", listen);
  listen();
})();
