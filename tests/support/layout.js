// Returns what is wrong with how a page is laid out, as sentences.
() => {
  const wrong = [];
  const wide = document.documentElement.scrollWidth;
  if (wide > innerWidth) wrong.push(`scrolls sideways: ${wide} > ${innerWidth}`);
  const shown = (element) => {
    const box = element.getBoundingClientRect();
    const unseen = element.closest(".hidden, .skip, thead");
    return box.width > 1 && box.height > 1 && element.checkVisibility()
      && (!unseen || unseen.getBoundingClientRect().width > 1);
  };
  const name = (element) => {
    const text = (element.innerText || element.name || "").trim().slice(0, 30);
    return `<${element.localName}> "${text}"`;
  };
  // A strip that scrolls by itself shows its content on request.
  const scrolls = (element) => element.closest("pre") !== null;

  const controls = [...document.querySelectorAll(
    "a, button, input, select, textarea, summary, label, h1, h2, h3, .badge, .tag"
  )].filter(shown);
  const ruler = document.createElement("canvas").getContext("2d");
  for (const control of controls) {
    const box = control.getBoundingClientRect();
    if (!scrolls(control) && (box.left < -1 || box.right > innerWidth + 1)) {
      wrong.push(`${name(control)} is cut off at the edge`);
    }
    const text = control.localName === "input" ? control.placeholder : "";
    const narrow = control.scrollWidth > control.clientWidth + 1;
    // Options are as long as a workflow has them, but for ours, which have no value.
    if (control.localName === "select" && control.value === "") {
      // The arrow takes as much as a line is high.
      const style = getComputedStyle(control);
      ruler.font = style.font;
      const text = ruler.measureText(control.selectedOptions[0]?.text ?? "").width;
      const room = control.clientWidth - parseFloat(style.paddingLeft)
        - parseFloat(style.paddingRight) - parseFloat(style.fontSize);
      if (text > room) wrong.push(`${name(control)} is clipped`);
    }
    if (narrow && (text || control.localName !== "input") && control.clientWidth) {
      wrong.push(`${name(control)} is clipped`);
    }
  }
  const apart = (one, other) => one.right <= other.left + 1 || other.right <= one.left + 1
    || one.bottom <= other.top + 1 || other.bottom <= one.top + 1;
  const fixed = (element) => element.closest(".confirm form, #selection");
  controls.forEach((one, place) => {
    for (const other of controls.slice(place + 1)) {
      if (one.contains(other) || other.contains(one) || fixed(one) || fixed(other)) continue;
      const boxes = [...other.getClientRects()];
      if ([...one.getClientRects()].some((box) => boxes.some((next) => !apart(box, next)))) {
        wrong.push(`${name(one)} overlaps ${name(other)}`);
      }
    }
  });

  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  while (texts.nextNode()) {
    const node = texts.currentNode;
    if (!node.parentElement.closest("th, td, dt, label, button, .chip, .badge, .button")) continue;
    if (!shown(node.parentElement)) continue;
    for (const word of node.data.matchAll(/(?<![^\s(])[A-Za-z]{2,13}(?![^\s,.:)])/g)) {
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].map((box) => Math.round(box.top)));
      if (lines.size > 1) wrong.push(`the word "${word[0]}" is broken`);
    }
  }
  return wrong;
}
