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
  // A text is what is typed, unless its default or the empty text is chosen.
  document.addEventListener("input", ({ target }) => {
    const given = target.closest(".text-choice")?.querySelector("[value=given]");
    if (given && target.type !== "radio") given.checked = true;
  });
  document.addEventListener("change", ({ target }) => {
    const text = target.closest(".text-choice")?.querySelector("[type=text], textarea");
    if (text && target.type === "radio" && target.value !== "given") {
      text.value = target.dataset.text;
    }
  });
  // The datasets that fit are searched by what is typed.
  let waiting;
  const offer = async (field) => {
    const search = new URLSearchParams({ search: field.value });
    const response = await fetch(`${field.dataset.offers}&${search}`, {
      headers: { Accept: "text/html" },
    });
    if (response.ok) field.list.innerHTML = await response.text();
  };
  document.addEventListener("input", ({ target }) => {
    // What was chosen from the list needs no other.
    const chosen = [...(target.list?.options ?? [])].some(({ value }) => value === target.value);
    if (!target.dataset.offers || chosen) return;
    clearTimeout(waiting);
    waiting = setTimeout(offer, 200, target);
  });
  // A form on a page that the user went back to may be sent again.
  addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
  });
})();
