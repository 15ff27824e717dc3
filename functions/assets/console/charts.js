// Small bar charts as SVG, with the same numbers as a table for screen readers.
import { html, number, utc } from "./ui.js";

const BARS = 24;
const WIDTH = 480;
const HEIGHT = 96;

/** Sorts events into equal spans of time: `[{from, to, good, bad}]`. */
export function spans(events, kind) {
  if (events.length === 0) return [];
  const times = events.map((event) => Date.parse(event.at));
  const first = Math.min(...times);
  const length = Math.max(Math.max(...times) - first, 60_000) / BARS;
  const all = Array.from({ length: BARS }, (_, index) => ({
    from: new Date(first + index * length).toISOString(),
    to: new Date(first + (index + 1) * length).toISOString(),
    good: 0,
    bad: 0,
  }));
  for (const event of events) {
    if (event.kind !== kind) continue;
    const index = Math.min(BARS - 1, Math.floor((Date.parse(event.at) - first) / length));
    if (event.outcome === "failed") all[index].bad += 1;
    else all[index].good += 1;
  }
  return all;
}

export function BarChart({ title, events, kind, good, bad }) {
  const bars = spans(events, kind);
  const total = (name) => bars.reduce((sum, bar) => sum + bar[name], 0);
  const highest = Math.max(1, ...bars.map((bar) => bar.good + bar.bad));
  const summary = `${title}: ${number(total("good"))} ${good}, ${number(total("bad"))} ${bad}`;
  if (bars.length === 0) return html`<figure><figcaption>${title}</figcaption><p class="quiet">No events yet.</p></figure>`;
  const step = WIDTH / BARS;
  return html`<figure>
    <figcaption>${title}: <span class="swatch good"></span>${number(total("good"))} ${good}, <span class="swatch bad"></span>${number(total("bad"))} ${bad}</figcaption>
    <svg class="chart" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label=${summary} preserveAspectRatio="none">
      <rect class="back" width=${WIDTH} height=${HEIGHT} />
      ${bars.map((bar, index) => {
        const goodHeight = (bar.good / highest) * (HEIGHT - 4);
        const badHeight = (bar.bad / highest) * (HEIGHT - 4);
        return html`<g key=${index}>
          <title>${utc(bar.from)} to ${utc(bar.to)}: ${bar.good} ${good}, ${bar.bad} ${bad}</title>
          <rect class="good" x=${index * step + 1} y=${HEIGHT - goodHeight} width=${step - 2} height=${goodHeight} />
          <rect class="bad" x=${index * step + 1} y=${HEIGHT - goodHeight - badHeight} width=${step - 2} height=${badHeight} />
        </g>`;
      })}
    </svg>
    <details><summary>${title} as a table</summary><table><thead><tr><th scope="col">From</th><th scope="col">${good}</th><th scope="col">${bad}</th></tr></thead>
      <tbody>${bars.filter((bar) => bar.good + bar.bad).map((bar) => html`<tr key=${bar.from}><td>${utc(bar.from)}</td><td>${bar.good}</td><td>${bar.bad}</td></tr>`)}</tbody></table></details>
  </figure>`;
}
