(() => {
  "use strict";
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "status");
  tip.hidden = true;
  document.body.append(tip);

  const write = (text) => {
    const [head, ...rows] = text.split("\n");
    const title = document.createElement("b");
    title.textContent = head;
    tip.replaceChildren(title);
    for (const row of rows) {
      const line = document.createElement("div");
      for (const cell of row.split("\t")) {
        const span = document.createElement("span");
        span.textContent = cell;
        line.append(span);
      }
      tip.append(line);
    }
  };

  for (const svg of document.querySelectorAll("svg[data-hover]")) {
    const columns = [...svg.querySelectorAll(".hc-hit")];
    for (const column of columns) {
      const title = column.querySelector("title");
      column.dataset.text = title.textContent;
      title.remove();
    }
    let drawn = [];
    let at = -1;
    const draw = (name, attributes) => {
      const node = document.createElementNS(svg.namespaceURI, name);
      for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
      drawn.push(node);
      return node;
    };
    const clear = () => {
      drawn.forEach((node) => node.remove());
      drawn = [];
      at = -1;
      tip.hidden = true;
    };
    const show = (index) => {
      if (index === at) return;
      clear();
      at = index;
      const column = columns[index];
      const x = column.dataset.x;
      const top = Number(column.getAttribute("y"));
      const bottom = top + Number(column.getAttribute("height"));
      if (column.dataset.dots) {
        columns[0].before(draw("line", { class: "hc-cross", x1: x, x2: x, y1: top, y2: bottom }));
        for (const dot of column.dataset.dots.split(",")) {
          const [tone, y] = dot.split(" ");
          columns[0].before(draw("circle", { class: `hc-dot hc-${tone}`, cx: x, cy: y, r: 4 }));
        }
      }
      write(column.dataset.text);
      tip.hidden = false;
      const box = column.getBoundingClientRect();
      const middle = box.left + box.width / 2;
      const half = tip.offsetWidth / 2;
      const left = middle + 14 + tip.offsetWidth < innerWidth ? middle + 14 : middle - 14 - 2 * half;
      tip.style.left = `${Math.max(8, left) + scrollX}px`;
      tip.style.top = `${box.top + scrollY + 8}px`;
    };
    columns.forEach((column, index) => {
      column.addEventListener("pointerenter", () => show(index));
      column.addEventListener("pointerdown", () => show(index));
    });
    svg.addEventListener("pointerleave", clear);
    svg.addEventListener("blur", clear);
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Escape") clear();
      if (!step || !columns.length) return;
      event.preventDefault();
      const start = at < 0 ? (step > 0 ? -1 : columns.length) : at;
      show(Math.min(Math.max(start + step, 0), columns.length - 1));
    });
  }

  const folded = [];
  addEventListener("beforeprint", () => {
    for (const item of document.querySelectorAll("details:not([open])")) {
      item.open = true;
      folded.push(item);
    }
  });
  addEventListener("afterprint", () => {
    while (folded.length) folded.pop().open = false;
  });
})();
