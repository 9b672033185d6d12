"use strict";
// Draw every figure into its place; take its inks from the page, again when they change (dark mode, print).
(() => {
  // The buttons by name: plotly's own choice has one that uploads the chart (plotly.js 4.1, "Share chart...").
  const config = {
    responsive: true,
    displaylogo: false,
    showSendToCloud: false,
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
  };
  const plots = [];

  function inks(layout) {
    const page = getComputedStyle(document.documentElement);
    const ink = (name) => page.getPropertyValue(name).trim();
    const change = {
      "font.color": ink("--ink"),
      "font.family": getComputedStyle(document.body).fontFamily,
      "hoverlabel.bgcolor": ink("--panel"),
      "hoverlabel.bordercolor": ink("--rule"),
      "hoverlabel.font.color": ink("--ink"),
    };
    for (const name of Object.keys(layout)) {
      if (/^[xy]axis[0-9]*$/.test(name)) {
        change[name + ".gridcolor"] = ink("--grid");
        change[name + ".linecolor"] = ink("--quiet");
        change[name + ".tickcolor"] = ink("--quiet");
      }
    }
    return change;
  }

  function paint() {
    for (const plot of plots) Plotly.relayout(plot, inks(plot.layout));
  }

  // A plot keeps its width on the screen; paper is narrower: 680 px lie within the margins of A4 and of letter.
  function fit(toPaper) {
    const change = toPaper ? { width: 680, autosize: false } : { width: null, autosize: true };
    for (const plot of plots) Plotly.relayout(plot, { ...inks(plot.layout), ...change });
  }

  for (const source of document.querySelectorAll("script.figure")) {
    const plot = document.getElementById(source.dataset.plot);
    const figure = JSON.parse(source.textContent);
    Plotly.newPlot(plot, figure.data, figure.layout, config).then(() => {
      plots.push(plot);
      Plotly.relayout(plot, inks(plot.layout));
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  matchMedia("print").addEventListener("change", (media) => fit(media.matches));
})();
