// Shows when the page can no longer be kept up to date, and keeps a form from being
// sent twice. The rest is done by htmx, and every page works without scripts.
(() => {
  const offline = document.getElementById("offline");
  const setOffline = (isOffline) => () => { offline.hidden = !isOffline; };
  for (const name of ["htmx:sendError", "htmx:responseError", "htmx:sseError"]) {
    document.body.addEventListener(name, setOffline(true));
  }
  for (const name of ["htmx:afterSwap", "htmx:sseOpen"]) {
    document.body.addEventListener(name, setOffline(false));
  }
  document.addEventListener("submit", (event) => {
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
  });
  // A form on a page that the user went back to may be sent again.
  addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
  });
})();
