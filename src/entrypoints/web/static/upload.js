// Uploads files part by part, with the API, and registers them. What was interrupted goes
// on: the key of an upload is made of its file, so opening it again finds it.
(() => {
  const PARALLEL = 4; // parts that are sent at once, and files that are open
  const DELAYS = [500, 1000, 2000, 4000, 8000]; // milliseconds before each repetition
  const STALLED = 60_000; // milliseconds without progress until a part is sent again
  const MOST = 1000; // files
  const EDGE = 2 ** 20; // bytes of both ends of a file that its key is made of

  const $ = (id) => document.getElementById(id);
  const form = $("upload");
  let groups = []; // {name, files}: two files are a pair, forward first
  let stop = null; // aborts all that is being sent
  const kind = () => form.elements.kind.value;
  const isPaired = () => kind().endsWith("paired");
  const files = () => groups.flatMap((group) => group.files);
  let begun = []; // uploads that are open, from whenever they were opened
  const begunOf = ({ file }) => begun.find(({ name, size }) => name === file.name && size === file.size);
  const extOf = (file) => $("ext").value.trim() || (begunOf(file)?.ext ?? file.ext);

  // --- what is shown ---

  const size = (bytes) => {
    const power = Math.min(Math.floor(Math.log2(bytes || 1) / 10), 4);
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    return `${(bytes / 1024 ** power).toFixed(power && 1)} ${units[power]}`;
  };
  const put = (place, text) => {
    place.textContent = text ?? "";
    place.hidden = !text;
  };
  const copy = (id) => $(id).content.firstElementChild.cloneNode(true);

  const showFile = (file) => {
    const { line } = file;
    const [bar, words] = [line.querySelector("progress"), line.querySelector(".count")];
    const total = file.file.size;
    bar.hidden = !file.words;
    bar.value = total ? file.sent / total : 0;
    words.textContent = file.words === "sending" ? `${Math.floor((100 * file.sent) / total)} %` : file.words;
    put(line.querySelector(".error"), file.error);
    const remove = line.querySelector("[data-act]");
    remove.textContent = file.stop ? "Cancel" : "Remove";
    remove.ariaLabel = `${remove.textContent} ${file.file.name}`;
  };
  const showTotal = () => {
    const all = files();
    const total = all.reduce((sum, { file }) => sum + file.size, 0);
    $("total").value = total ? all.reduce((sum, { sent }) => sum + sent, 0) / total : 0;
  };
  const advance = (file, changes) => {
    Object.assign(file, changes);
    showFile(file);
    showTotal();
  };

  const lineOf = (file, tag, place) => {
    const line = copy("file");
    line.querySelector("b").textContent = file.file.name;
    const ext = extOf(file);
    line.querySelector(".at").textContent = [size(file.file.size), ext].filter(Boolean).join(", ");
    put(line.querySelector(".tag"), tag);
    line.querySelector("progress").ariaLabel = file.file.name;
    const remove = line.querySelector("[data-act]");
    remove.id = `remove-${place}`;
    remove.onclick = () => removed(file);
    file.line = line;
    showFile(file);
    return line;
  };

  const draw = () => {
    const focused = document.activeElement?.id;
    const names = groups.map(({ name }) => name.trim());
    const loose = groups.filter((group) => group.files.length === 1);
    let place = 0;
    $("naming").hidden = !kind();
    $("name").required = Boolean(kind());
    $("samples").replaceChildren(...groups.map((group, number) => {
      const line = copy("sample");
      const pair = group.files.length === 2;
      const [input, select] = [line.querySelector("input"), line.querySelector("select")];
      input.value = group.name;
      input.id = `sample-${number}`;
      input.oninput = () => { group.name = input.value; };
      input.onchange = draw;
      line.querySelector(".sample-name").hidden = !kind() || kind() === "paired" || (isPaired() && !pair);
      for (const [act, done] of [
        ["swap", () => group.files.reverse()],
        ["unpair", () => groups.splice(number, 1, ...group.files.map((file) => alone(file, true)))],
      ]) {
        const button = line.querySelector(`[data-act=${act}]`);
        button.id = `${act}-${number}`;
        button.hidden = !pair;
        button.ariaLabel = `${button.textContent} ${group.name}`;
        button.onclick = () => { done(); changed(); };
      }
      select.id = `mate-${number}`;
      select.closest("label").hidden = pair || !isPaired() || loose.length < 2;
      for (const other of loose) {
        if (other !== group) select.add(new Option(other.files[0].file.name, groups.indexOf(other)));
      }
      select.onchange = () => {
        const [mate] = groups.splice(select.value, 1);
        group.files.push(...mate.files);
        changed();
      };
      const twice = kind() && names.filter((name) => name === names[number]).length > 1;
      const named = !input.closest("label").hidden;
      let problem = named && !names[number] ? "It needs a name." : named && twice ? "Another one has this name." : "";
      if (isPaired() && !pair) problem = "It has no mate: pair it with another file, or remove it.";
      group.problem = problem;
      input.toggleAttribute("aria-invalid", Boolean(problem));
      put(line.querySelector(".error"), problem);
      line.querySelector("ul").replaceChildren(...group.files.map((file, read) =>
        lineOf(file, pair ? ["forward", "reverse"][read] : "", place++)));
      return line;
    }));
    if (stop) lock(true);
    $(focused)?.focus();
    showTotal();
  };

  // --- what is chosen ---

  const alone = (file, unpaired = false) => {
    file.unpaired = unpaired;
    return { name: file.element, files: [file] };
  };

  let turn = 0; // the last of several at once counts
  let asked = 0; // questions that are not answered yet
  const arrange = async () => {
    const mine = ++turn;
    if (!isPaired()) groups = files().map((file) => alone(file));
    const open = groups.filter((group) => group.files.length === 1 && !group.files[0].unpaired);
    const sent = open.map((group) => group.files[0]);
    if (sent.length) {
      const names = new URLSearchParams(sent.map(({ file }) => ["name", file.name]));
      asked += 1;
      const seen = await ask("POST", "/ui/upload/names", names).finally(() => { asked -= 1; });
      if (mine !== turn) return;
      seen.files.forEach((shown, number) => Object.assign(sent[number], shown));
      for (const group of open) group.name = group.files[0].element;
      if (isPaired()) {
        for (const { name, forward, reverse } of seen.pairs) {
          open[forward].name = name;
          open[forward].files.push(sent[reverse]);
          groups = groups.filter((group) => group !== open[reverse]);
        }
      }
    }
    draw();
  };
  const rearrange = () => arrange().catch(showProblem);
  // An answer about groups that have changed meanwhile is of no use. Without such a
  // question, names that were typed stay.
  const changed = () => {
    draw();
    if (asked) rearrange();
  };

  const chosen = (list) => {
    put($("problem"), "");
    for (const file of list) {
      const same = ({ file: other }) => ["name", "size", "lastModified"].every((key) => other[key] === file[key]);
      const refused = files().some(same) ? "is chosen already" : files().length >= MOST ? `is one too many: ${MOST} are the most` : "";
      if (refused) {
        put($("problem"), `${file.name} ${refused}.`);
        continue;
      }
      groups.push(alone({ file, sent: 0, words: "", error: "", element: file.name }));
    }
    $("files").value = "";
    rearrange();
  };

  const removed = (file) => {
    if (file.stop) {
      file.stop.abort();
      return;
    }
    forget(file);
    for (const group of groups) group.files = group.files.filter((other) => other !== file);
    groups = groups.filter((group) => group.files.length);
    changed();
  };

  // --- requests ---

  class Failure extends Error {
    constructor(message, again = false, delay = 0) {
      super(message);
      Object.assign(this, { again, delay });
    }
  }

  const ask = async (method, path, body, headers = {}, signal) => {
    const isForm = body instanceof URLSearchParams;
    let response;
    try {
      response = await fetch(path, {
        method,
        signal,
        body: isForm || body === undefined ? body : JSON.stringify(body),
        headers: { Accept: "application/json", ...(isForm || body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Failure("The service does not answer.", true);
    }
    if (response.status === 204) return null;
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    const again = response.status === 429 || response.status >= 500;
    const failure = new Failure(answer.detail || answer.title || `status ${response.status}`, again, 1000 * response.headers.get("Retry-After"));
    throw Object.assign(failure, { status: response.status });
  };

  const pause = (delay, signal) => new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, delay);
    signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });

  const repeated = async (file, signal, act) => {
    for (const delay of [...DELAYS, null]) {
      signal.throwIfAborted();
      try {
        return await act();
      } catch (error) {
        if (!error.again || delay === null) throw error;
        advance(file, { words: `trying again: ${error.message}` });
        await pause(Math.max(delay, error.delay), signal);
        advance(file, { words: "sending" });
      }
    }
  };

  let busy = 0;
  const queue = [];
  const slot = async (act) => {
    if (busy >= PARALLEL) await new Promise((resolve) => queue.push(resolve));
    else busy += 1;
    try {
      return await act();
    } finally {
      if (queue.length) queue.shift()();
      else busy -= 1;
    }
  };

  const read = async (blob) => {
    try {
      return await blob.arrayBuffer();
    } catch {
      throw new Failure("The file has changed, or cannot be read any more. Remove it, and choose it again.");
    }
  };
  const sha256 = async (bytes) => {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  };

  // Two files may have one name, size and time; crypto is there over HTTPS, or locally.
  const keyOf = async ({ file }, ext) => {
    const texts = [file.size, file.lastModified, ext, file.name];
    if (!crypto.subtle) return encodeURIComponent(texts.join(" ")).slice(0, 250);
    for (const end of [file.slice(0, EDGE), file.slice(-EDGE)]) texts.push(await sha256(await read(end)));
    return sha256(new TextEncoder().encode(JSON.stringify(texts)));
  };

  const store = (part, bytes, signal, progress) => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let timer;
    const watch = () => {
      clearTimeout(timer);
      timer = setTimeout(() => request.abort(), STALLED);
    };
    const fail = (words) => () => reject(signal.aborted ? signal.reason : new Failure(words, true));
    const abort = () => { request.abort(); reject(signal.reason); };
    request.open(part.method, part.url);
    for (const [name, text] of Object.entries(part.headers)) request.setRequestHeader(name, text);
    request.upload.onprogress = (event) => { watch(); progress(event.loaded); };
    request.onerror = fail("The store of files does not answer.");
    request.onabort = fail("The store of files takes nothing.");
    request.onload = () => {
      if (request.status < 300) resolve();
      else fail(`The store of files answers with status ${request.status}.`)();
    };
    request.onloadend = () => { clearTimeout(timer); signal.removeEventListener("abort", abort); };
    signal.addEventListener("abort", abort);
    watch();
    request.send(bytes);
  });

  // --- uploads ---

  const sendPart = async (file, signal, opened, number, sent) => {
    const offset = (number - 1) * opened.part_size;
    const blob = file.file.slice(offset, offset + opened.part_size);
    await slot(() => repeated(file, signal, async () => {
      const bytes = await read(blob);
      const hashes = crypto.subtle ? { sha256: { [number]: await sha256(bytes) } } : {};
      const { parts: [part] } = await ask("POST", `/uploads/${opened.upload_id}/parts`, { numbers: [number], ...hashes }, {}, signal);
      await store(part, bytes, signal, (loaded) => {
        sent.set(number, loaded);
        advance(file, { sent: [...sent.values()].reduce((sum, bytes) => sum + bytes, 0) });
      });
      sent.set(number, blob.size);
    }));
  };

  const opened = async (file, signal) => {
    const { name, size } = file.file;
    const ext = extOf(file);
    const open = (key) => ask("POST", "/uploads", { name, size, ext }, { "Idempotency-Key": key }, signal);
    const key = await keyOf(file, ext);
    const found = await open(key);
    if (found.state !== "complete") return found;
    try {
      await ask("GET", `/datasets/${encodeURIComponent(found.dataset_id)}`);
      return found;
    } catch (error) {
      if (error.status !== 404) throw error;
      return open(`${key}-${Date.now()}`.slice(-255)); // its dataset was removed
    }
  };

  const upload = async (file) => {
    if (file.dataset) return;
    file.stop = new AbortController();
    const follow = () => file.stop.abort();
    stop.signal.addEventListener("abort", follow);
    const { signal } = file.stop;
    advance(file, { words: "sending", error: "" });
    try {
      const found = await repeated(file, signal, () => opened(file, signal));
      file.id = found.upload_id;
      const path = `/uploads/${found.upload_id}`;
      if (found.state === "open") {
        const shown = await repeated(file, signal, () => ask("GET", path, undefined, {}, signal));
        const sent = new Map([[0, shown.received.bytes]]);
        advance(file, { sent: shown.received.bytes });
        await Promise.all(shown.missing.map((number) => sendPart(file, signal, found, number, sent)));
      }
      advance(file, { sent: file.file.size, words: "verifying" });
      let complete;
      do {
        complete = await repeated(file, signal, () => ask("POST", `${path}/complete?wait=30`, undefined, {}, signal));
      } while (complete.state !== "complete");
      advance(file, { words: "uploaded", dataset: complete.dataset.dataset_id });
    } catch (error) {
      const { aborted } = signal;
      file.stop.abort(); // its other parts
      if (aborted) forget(file);
      advance(file, aborted ? { sent: 0, words: "cancelled" } : { words: "not uploaded", error: error.message });
    } finally {
      stop?.signal.removeEventListener("abort", follow);
      file.stop = null;
      showFile(file);
    }
  };

  const forget = (file) => {
    if (!file.id || file.dataset) return;
    ask("DELETE", `/uploads/${file.id}`).catch(() => {}); // or it expires
    file.id = null;
  };

  const listBegun = async () => {
    const { items } = await ask("GET", "/uploads?limit=200");
    begun = items.filter(({ state }) => state === "open");
    $("unfinished").hidden = form.hidden || !begun.length;
    $("unfinished").querySelector("ul").replaceChildren(...begun.map((upload) => {
      const line = copy("begun");
      const [goOn, abort] = line.querySelectorAll("button");
      line.querySelector("b").textContent = upload.name;
      const until = new Date(upload.expires_at).toLocaleString();
      line.querySelector(".at").textContent = `${size(upload.size)}, ${upload.ext}, kept until ${until}`;
      for (const button of [goOn, abort]) button.ariaLabel = `${button.textContent} ${upload.name}`;
      goOn.onclick = () => $("files").click();
      abort.onclick = () => ask("DELETE", `/uploads/${upload.upload_id}`).then(showBegun, showProblem);
      return line;
    }));
  };
  const showProblem = ({ message }) => put($("problem"), message);
  const showBegun = () => listBegun().catch(showProblem);

  const register = async () => {
    const member = (name, { dataset }) => ({ name, dataset_id: dataset });
    const pair = ([forward, reverse]) => [member("forward", forward), member("reverse", reverse)];
    const elements = {
      list: () => groups.map(({ name, files: [file] }) => member(name.trim(), file)),
      paired: () => pair(groups[0].files),
      "list:paired": () => groups.map(({ name, files }) => ({ name: name.trim(), elements: pair(files) })),
    }[kind()]();
    const source = { src: "collection", collection_type: kind(), elements };
    // With an id of its own: sent again, it registers no other.
    const body = { dataset_id: form.dataset.key, name: $("name").value.trim(), source };
    return [await ask("POST", "/datasets", body)];
  };

  const finished = (datasets) => {
    $("registered").replaceChildren(...datasets.map(({ dataset_id, name }) => {
      const line = document.createElement("li");
      const link = document.createElement("a");
      link.href = `/ui/submit?${new URLSearchParams({ dataset_id })}`;
      link.textContent = "Run a workflow on it";
      const id = document.createElement("code");
      id.textContent = dataset_id;
      line.append(`${name} `, id, " ", link);
      return line;
    }));
    form.hidden = true;
    $("done").hidden = false;
    $("done").focus();
  };

  const problemOf = () => {
    if (!files().length) return "Choose files first.";
    for (const file of files()) {
      file.error = extOf(file) ? "" : "Its name does not show its format: give one above.";
    }
    draw();
    if (groups.some(({ problem }) => problem) || files().some(({ error }) => error)) {
      return "Nothing was sent: see the files above.";
    }
    return kind() === "paired" && groups.length !== 1 ? "One pair is two files; there are more." : "";
  };

  const lock = (isLocked) => {
    for (const field of form.querySelectorAll("input, select, [data-act=swap], [data-act=unpair], #send")) field.disabled = isLocked;
    $("cancel").hidden = $("total").hidden = !isLocked;
    form.toggleAttribute("aria-busy", isLocked);
  };

  const run = async () => {
    const problem = problemOf();
    put($("problem"), problem);
    put($("outcome"), "");
    if (problem) return;
    stop = new AbortController();
    lock(true);
    const waiting = [...files()];
    const next = async () => {
      for (let file = waiting.shift(); file && !stop.signal.aborted; file = waiting.shift()) {
        if (files().includes(file)) await upload(file);
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, next));
    const all = files();
    const good = all.filter(({ dataset }) => dataset).length;
    put($("outcome"), `${good} of ${all.length} files are uploaded.`);
    try {
      if (stop.signal.aborted) throw new Failure("Cancelled.");
      if (groups.some(({ problem }) => problem)) throw new Failure("Not registered: see the files above.");
      if (good < all.length) throw new Failure("What is missing can be sent again, or removed; nothing is sent twice.");
      finished(kind() ? await register() : all.map(({ dataset, file }) => ({ dataset_id: dataset, name: file.name })));
    } catch (error) {
      put($("problem"), error.message);
      $("send").textContent = "Try again";
    } finally {
      stop = null;
      lock(false);
      showBegun();
    }
  };

  $("files").addEventListener("change", ({ target }) => chosen([...target.files]));
  $("kinds").addEventListener("change", rearrange);
  $("ext").addEventListener("change", draw);
  $("cancel").addEventListener("click", () => stop?.abort());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    event.stopPropagation(); // it may be sent again
    if (!stop) run();
  });
  for (const name of ["dragover", "drop"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      if (name === "drop" && !stop) chosen([...event.dataTransfer.files]);
    });
  }
  addEventListener("beforeunload", (event) => { if (stop) event.preventDefault(); });
  rearrange();
  showBegun();
})();
