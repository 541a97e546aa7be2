"use strict";
// Charts of runs, by Plotly. A chart has its element's data-key as its name in the data.

const FIXED_COLORS = {D: "--d", G: "--g", real: "--d", generated: "--g", "generated, at G's move": "--third", "D orders rightly": "--d", "training samples": "--d", "held-out samples": "--g", floor: "--sixth"};
const COLORS = ["--d", "--g", "--third", "--fourth", "--fifth", "--sixth"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"];
const UNITS = {step: "step", kimg: "thousand images", hours: "hours of training"};

const cssColor = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function faded(color, opacity) {
  const value = parseInt(color.slice(1), 16);
  return `rgba(${value >> 16}, ${(value >> 8) & 255}, ${value & 255}, ${opacity})`;
}

// Where a step is on an axis of this unit; what lies between the ruler's marks is interpolated.
function placeOf(run, step, unit) {
  if (unit === "step") return step;
  const at = run.ruler[unit + "_at"], value = run.ruler[unit];
  if (!at || step == null) return null;
  let low = 0, high = at.length - 1;
  if (step <= at[0]) return at[0] ? value[0] * step / at[0] : value[0];
  if (step >= at[high]) return value[high];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (at[middle] <= step) low = middle; else high = middle;
  }
  return value[low] + (value[high] - value[low]) * (step - at[low]) / (at[high] - at[low]);
}

const unitsOf = runs => Object.keys(UNITS).filter(unit => runs.every(run => unit === "step" || run.ruler[unit]));

// The charts that any of the runs has, each with who has it.
function mergedCharts(runs) {
  const merged = new Map();
  runs.forEach((run, index) => run.charts.forEach(chart => {
    if (!merged.has(chart.key)) merged.set(chart.key, {...chart, of: []});
    const it = merged.get(chart.key);
    it.log = it.log && chart.log;
    it.of.push({run, index, series: chart.series});
  }));
  return [...merged.values()];
}

function colorOf(name, place, runIndex, several) {
  if (several) return cssColor(COLORS[runIndex % COLORS.length]);
  return cssColor(FIXED_COLORS[name] || COLORS[place % COLORS.length]);
}

function tracesOf(chart, several, unit) {
  const traces = [];
  for (const {run, index, series} of chart.of) {
    series.forEach((curve, place) => {
      const color = colorOf(curve.name, place, index, several);
      const dash = several ? DASHES[place % DASHES.length] : "solid";
      const name = several ? (series.length > 1 ? `${run.name}: ${curve.name}` : run.name) : curve.name;
      const at = x => unit === "step" ? x : x.map(step => placeOf(run, step, unit));
      const few = !curve.smooth_x;
      const base = {type: "scatter", name: escapedText(name), showlegend: false};
      traces.push({...base, x: at(curve.x), y: curve.y, mode: few ? "lines+markers" : "lines", marker: {size: 5},
        line: {color: few ? color : faded(color, several ? .16 : .28), width: few ? 2 : 1, dash},
        hoverinfo: few ? undefined : "skip", hovertemplate: few ? "%{y:.5~g}" : undefined});
      if (!few) {
        traces.push({...base, x: at(curve.smooth_x), y: curve.smooth_y, mode: "lines",
          line: {color, width: 2, dash}, hovertemplate: "%{y:.5~g}"});
      }
    });
  }
  return traces;
}

// Plotly reads a few tags in texts: names are only text.
const escapedText = text => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

// The same end for all charts, so that what happened at one time lies at one place.
function endOf(runs, unit) {
  const ends = runs.flatMap(run => run.charts.flatMap(chart => chart.series.map(curve => placeOf(run, curve.x[curve.x.length - 1], unit))));
  return 1.005 * ends.reduce((a, b) => Math.max(a, b), 0) || 1;
}

// Findings as spans, what was done about them as lines.
function marksOf(run, unit) {
  const shapes = [], annotations = [];
  const labelled = run.findings.filter(finding => finding.severity !== "info").slice(0, 4);
  run.findings.forEach(finding => {
    const color = cssColor("--" + finding.severity);
    const x0 = placeOf(run, finding.since_step, unit);
    const x1 = finding.ended ? placeOf(run, finding.last_step, unit) : endOf([run], unit);
    shapes.push({type: "rect", xref: "x", yref: "paper", x0, x1, y0: 0, y1: 1, layer: "below", name: "finding",
      fillcolor: faded(color, .1), line: {width: 0}});
    shapes.push({type: "line", xref: "x", yref: "paper", x0, x1: x0, y0: 0, y1: 1, layer: "below", name: "finding",
      line: {width: 1, color: faded(color, .7)}});
    const place = labelled.indexOf(finding);
    if (place >= 0) {
      annotations.push({x: x0, y: 1, xref: "x", yref: "paper", xanchor: "left", yanchor: "top", yshift: -13 * place,
        showarrow: false, text: escapedText(finding.title), font: {size: 10, color}});
    }
  });
  run.events.filter(event => event.kind === "rolled back").slice(-20).forEach(event => {
    const x = placeOf(run, event.step, unit);
    shapes.push({type: "line", xref: "x", yref: "paper", x0: x, x1: x, y0: 0, y1: 1, layer: "below",
      line: {width: 1, dash: "dot", color: cssColor("--quiet")}});
  });
  return {shapes, annotations};
}

function leadBands() {
  const band = (y0, y1, color) => ({type: "rect", xref: "paper", yref: "y", x0: 0, x1: 1, y0, y1, layer: "below",
    fillcolor: faded(cssColor(color), .07), line: {width: 0}});
  const label = (y, text, color) => ({x: 1, y, xref: "paper", yref: "y", xanchor: "right", yanchor: "middle",
    showarrow: false, text, font: {size: 10, color: cssColor(color)}});
  return {shapes: [band(.9, 1.02, "--d"), band(.4, .6, "--g")],
    annotations: [label(.93, "D leads", "--d"), label(.47, "G leads", "--g")]};
}

function layoutOf(chart, runs, unit) {
  const several = runs.length > 1;
  const marks = several ? {shapes: [], annotations: []} : marksOf(runs[0], unit);
  const bands = chart.key === "balance" ? leadBands() : {shapes: [], annotations: []};
  const axis = {gridcolor: cssColor("--line"), zerolinecolor: cssColor("--line"), linecolor: cssColor("--line"),
    automargin: true, fixedrange: false};
  const label = unit === "step" && !several && runs[0].unit === "image" ? "images" : UNITS[unit];
  return {
    margin: {l: 46, r: 10, t: 8, b: 34}, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: {family: "system-ui, sans-serif", size: 11, color: cssColor("--quiet")},
    hovermode: "x unified", hoverlabel: {bgcolor: cssColor("--card"), bordercolor: cssColor("--line"),
      namelength: -1, font: {color: cssColor("--text"), size: 12}},
    xaxis: {...axis, title: {text: label, standoff: 4, font: {size: 11}}, range: [0, endOf(runs, unit)]},
    yaxis: {...axis, type: chart.log ? "log" : "linear", ...(chart.span ? {range: chart.span} : {}),
      exponentformat: "power", ...(chart.log ? {dtick: 1, minor: {showgrid: true, gridcolor: faded(cssColor("--quiet"), .08)}} : {})},
    shapes: [...bands.shapes, ...marks.shapes], annotations: [...bands.annotations, ...marks.annotations],
    uirevision: unit, dragmode: "zoom",
  };
}

function drawChart(plot, chart, runs, unit) {
  const config = {responsive: true, displaylogo: false, displayModeBar: false, doubleClick: "reset"};
  return Plotly.react(plot, tracesOf(chart, runs.length > 1, unit), layoutOf(chart, runs, unit), config);
}

// What the colors and dashes of a chart mean: pairs of a name and a color.
function legendOf(chart, several) {
  if (several) return chart.of.map(({run, index}) => [run.name, colorOf("", 0, index, true)]);
  return chart.of[0].series.map((curve, place) => [curve.name, colorOf(curve.name, place, 0, false)]);
}
