// Draws each <div class="chart" data-src="id"> from the JSON block with that id, as console/charts.py
// writes it. Colours are the theme's; the table under a chart has the same numbers.
(() => {
  const THIN = "\u2009";
  const live = [];
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const group = (n, places = 0) => {
    const [whole, part] = n.toFixed(places).split(".");
    return whole.replace(/\B(?=(\d{3})+$)/g, THIN) + (part ? "." + part : "");
  };
  const scaled = (n) => {
    const [size, unit] = [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]].find(([s]) => n >= s) ?? [1, ""];
    return unit ? group(n / size, Number.isInteger(n / size) ? 0 : 1) + THIN + unit : group(n);
  };
  const places = (step) => (step >= 1 || !step ? 0 : Math.min(12, Math.max(2, Math.ceil(-Math.log10(step)))));
  // What a value reads as: on the axis, given the step between two ticks, and in the tooltip.
  const FORMATS = {
    count: { axis: (n) => scaled(n), exact: (n) => group(n, n % 1 ? 1 : 0) },
    money: {
      axis: (n, step, sign) => sign + group(n, places(step)),
      exact: (n, sign) => sign + group(n, n && n < 1 ? 6 : 2),
    },
    ms: { axis: (n) => group(n) + THIN + "ms", exact: (n) => group(n) + THIN + "ms" },
    percent: { axis: (n) => group(n, n % 1 ? 1 : 0) + THIN + "%", exact: (n) => group(n, 2) + THIN + "%" },
  };

  const date = (options) => {
    const format = new Intl.DateTimeFormat(document.documentElement.lang === "en" ? "en-GB" : document.documentElement.lang, { timeZone: "UTC", ...options });
    return (seconds) => format.format(seconds * 1e3);
  };
  const day = date({ day: "numeric", month: "short" });
  const minute = date({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

  // Each row on top of those before it; where there is nothing at all, there is no bar to draw.
  const stacked = (rows) => {
    let sum = rows[0]?.map(() => null);
    return rows.map((row) => (sum = sum.map((value, at) => value + row[at] || null)));
  };

  function tooltip(spec, rows, format) {
    const tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
    const text = (at) => {
      const when = spec.hours ? `${day(spec.x[at])} ${minute(spec.x[at])} UTC` : day(spec.x[at]);
      const known = rows.map((row, i) => [spec.series[i].label, row[at]]).filter(([, n]) => n != null);
      if (spec.stack) known.push([spec.total, known.reduce((sum, [, n]) => sum + n, 0)]);
      return [when, ...known.map(([label, n]) => `${label}  ${format.exact(n, spec.sign)}`)].join("\n");
    };
    const setCursor = (plot) => {
      const at = plot.cursor.idx;
      tip.hidden = at == null || plot.cursor.left < 0;
      if (tip.hidden) return;
      tip.textContent = text(at);
      const right = plot.cursor.left > plot.over.clientWidth / 2;
      tip.style.left = right ? "" : `${plot.cursor.left + 12}px`;
      tip.style.right = right ? `${plot.over.clientWidth - plot.cursor.left + 12}px` : "";
    };
    return { hooks: { init: (plot) => plot.over.append(tip), setCursor } };
  }

  function line(series) {
    const color = css(series.color);
    const filled = series.dash ? { dash: [4, 4] } : { fill: color + "1a" }; // to come, or a limit
    return { stroke: color, width: 1.5, points: { show: false }, ...filled };
  }

  function bars(series) {
    const paths = uPlot.paths.bars({ size: [0.8, 28] });
    return { stroke: css("--paper"), width: 1, fill: css(series.color), points: { show: false }, paths };
  }

  function draw(box) {
    const spec = JSON.parse(document.getElementById(box.dataset.src).textContent);
    const rows = spec.series.map((series) => series.data.map((n) => (n === null ? null : Number(n))));
    const shown = spec.stack ? stacked(rows) : rows;
    const order = [...shown.keys()].sort((a, b) => (spec.stack ? b - a : a - b)); // the tallest bar is drawn first
    const format = FORMATS[spec.unit];
    const axis = { stroke: css("--axis"), font: "11px Inter", ticks: { show: false } };
    const margin = spec.stack ? ((spec.x[1] ?? spec.x[0] + spec.step) - spec.x[0]) / 2 : 0;
    const ticks = (_, values) => values.map((n) => format.axis(n, values[1] - values[0], spec.sign));
    const wide = spec.unit === "money" && (spec.sign.length > 1 || Math.max(...shown.flat()) < 1) ? 72 : 52;
    const options = {
      width: box.clientWidth, height: box.clientHeight, legend: { show: false }, padding: [8, 16, 0, 0],
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC"),
      plugins: [tooltip(spec, rows, format)],
      cursor: { y: false, points: { show: !spec.stack, size: 6 }, drag: { x: false, y: false } },
      scales: {
        x: { range: (_, min, max) => [min - margin, max + margin] },
        y: { range: (_, __, max) => [0, spec.max ?? (max || 1) * 1.08] },
      },
      axes: [
        { ...axis, grid: { show: false }, space: 64, size: 26, values: (_, v) => v.map(spec.hours ? minute : day) },
        { ...axis, grid: { stroke: css("--line"), width: 1 }, size: wide, space: 48, values: ticks },
      ],
      series: [{}, ...order.map((at) => (spec.stack ? bars : line)(spec.series[at]))],
    };
    return new uPlot(options, [spec.x, ...order.map((at) => shown[at])], box);
  }

  function drawAll() {
    live.splice(0).forEach((plot) => plot.destroy());
    document.querySelectorAll(".chart[data-src]").forEach((box) => live.push(draw(box)));
  }

  let timer;
  addEventListener("DOMContentLoaded", () => document.fonts.ready.then(drawAll));
  addEventListener("themechange", drawAll);
  addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(drawAll, 120);
  });
  document.addEventListener("htmx:after:swap", (event) => {
    if (event.detail.ctx.target?.querySelector?.(".chart")) drawAll();
  });
})();
