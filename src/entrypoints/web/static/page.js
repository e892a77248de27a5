// Says so when what is shown can no longer be kept up to date, and keeps a form
// from being sent twice. Everything else is htmx's, and nothing needs either.
(() => {
  const offline = document.getElementById("offline");
  const say = (trouble) => () => { offline.hidden = !trouble; };
  for (const name of ["htmx:sendError", "htmx:responseError", "htmx:sseError"]) {
    document.body.addEventListener(name, say(true));
  }
  for (const name of ["htmx:afterSwap", "htmx:sseOpen"]) {
    document.body.addEventListener(name, say(false));
  }
  document.addEventListener("submit", (event) => {
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
  });
  // A page that is gone back to may be sent again.
  addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
  });
})();
