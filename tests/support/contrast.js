// The contrast of every text that is seen on a page, as WCAG 2 counts it, each with
// what it is: [[4.6, "count: 3 of 4 ok"], ...].
() => {
  const canvas = document.createElement("canvas");
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  const painted = (color, under) => {
    for (const one of [`rgb(${under.join(" ")})`, color]) {
      brush.fillStyle = one;
      brush.fillRect(0, 0, 1, 1);
    }
    return [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (color) => {
    const [r, g, b] = color.map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) =>
    element
      ? painted(getComputedStyle(element).backgroundColor, ground(element.parentElement))
      : [255, 255, 255];
  const isRead = (element) =>
    [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) &&
    element.checkVisibility() &&
    !element.closest(".hidden, .skip, option, datalist");
  return [...document.querySelectorAll("body *")].filter(isRead).map((element) => {
    const under = ground(element);
    const inks = [painted(getComputedStyle(element).color, under), under];
    const [light, dark] = inks.map(luminance).sort((one, other) => other - one);
    const text = element.textContent.trim().slice(0, 40);
    return [(light + 0.05) / (dark + 0.05), `${element.className}: ${text}`];
  });
};
