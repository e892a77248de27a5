// Cancels the selected jobs of a list, or runs them again: one by one, each with the form
// of its own page. Without scripts there is nothing to select, and these pages remain.
(() => {
  const bar = document.getElementById("selection");
  if (!bar) return;
  const selected = new Set();
  const boxes = () => [...document.querySelectorAll(".select")];
  const all = document.getElementById("select-all");
  const outcome = document.getElementById("outcome");
  const refused = document.getElementById("refused");
  const done = document.getElementById("done");
  document.documentElement.classList.add("scripted");

  const show = () => {
    for (const box of boxes()) box.checked = selected.has(box.value);
    all.checked = selected.size > 0 && boxes().every((box) => box.checked);
    document.getElementById("selected").textContent = `${selected.size} selected`;
    bar.hidden = !selected.size && !outcome.textContent;
  };
  document.addEventListener("change", ({ target }) => {
    if (target === all) {
      for (const box of boxes()) all.checked ? selected.add(box.value) : selected.delete(box.value);
    } else if (target.matches(".select")) {
      target.checked ? selected.add(target.value) : selected.delete(target.value);
    } else return;
    show();
  });
  // The list is replaced whenever one of its jobs moves.
  document.body.addEventListener("htmx:afterSettle", show);
  addEventListener("pageshow", show);

  const page = async (path, options) => {
    const response = await fetch(path, { headers: { Accept: "text/html" }, ...options });
    const read = new DOMParser().parseFromString(await response.text(), "text/html");
    if (response.ok) return read;
    const reason = read.querySelector(".failure li, .failure p, .message");
    throw new Error(reason ? reason.textContent.trim() : `status ${response.status}`);
  };
  const send = (path, body) => page(path, { method: "POST", body });
  const cancel = (url) => send(`${url}/cancel`, new URLSearchParams());
  const rerun = async (url) => {
    const form = (await page(`${url}/rerun`)).querySelector("form.fields");
    await send(form.getAttribute("action"), new URLSearchParams(new FormData(form)));
  };

  const run = async (act, past) => {
    const ids = [...selected];
    const places = new Map(boxes().map((box) => [box.value, box.ariaLabel.slice(7)]));
    let good = 0;
    refused.replaceChildren();
    bar.toggleAttribute("aria-busy", true);
    done.hidden = false;
    done.max = ids.length;
    for (const [place, id] of ids.entries()) {
      outcome.textContent = `${place} of ${ids.length} done`;
      done.value = place;
      const url = `/ui/jobs/${encodeURIComponent(id)}`;
      try {
        await act(url);
        good += 1;
        selected.delete(id);
      } catch (error) {
        const link = document.createElement("a");
        link.href = url;
        link.textContent = places.get(id) || id;
        const line = document.createElement("li");
        line.append(link, `: ${error.message}`);
        refused.append(line);
      }
      show();
    }
    done.hidden = true;
    bar.toggleAttribute("aria-busy", false);
    const bad = ids.length - good;
    outcome.textContent = `${good} ${past}${bad ? `, ${bad} not` : ""}.`;
    show();
  };
  const actions = { "cancel-selected": [cancel, "cancelled"], "rerun-selected": [rerun, "run again"] };
  for (const [id, [act, past]] of Object.entries(actions)) {
    document.getElementById(id).addEventListener("submit", (event) => {
      event.preventDefault();
      event.stopPropagation(); // it may be sent again
      for (const menu of bar.querySelectorAll("details")) menu.open = false;
      if (!bar.hasAttribute("aria-busy")) run(act, past);
    });
  }
  show();
})();
