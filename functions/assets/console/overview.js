// How the team's credentials are, what needs attention, and what expires soon.
import { useEffect, useState } from "./vendor/preact-hooks.js";
import { credentialPath } from "./api.js";
import { attention, needsAttention, whoActs } from "./attention.js";
import { BarChart } from "./charts.js";
import { Heading, Loading, Problem, StateBadge, Table, Time, html, number, useLoad, useSession } from "./ui.js";

const PAGE = 1000;
const MAX_EVENTS = 1000;
const MAX_SHOWN = 50;
const SOON_MS = 14 * 24 * 3600 * 1000;
/** How many credentials are asked for URLs that expire. Each is one call. */
const MAX_ASKED = 25;

/** Reads the team's last events, page by page. */
async function lastEvents(api, isCurrent) {
  let events = [], cursor;
  do {
    const page = await api.page("v2/events", { limit: MAX_EVENTS - events.length, cursor });
    events = events.concat(page.data);
    cursor = page.next;
  } while (cursor && events.length < MAX_EVENTS && isCurrent());
  return events;
}

const EMPTY = { total: 0, active: 0, invalid: 0, app: 0, user: 0, needing: 0, causes: {}, first: [], isDone: false };

function count(old, credentials, isDone) {
  const next = { ...old, causes: { ...old.causes }, first: [...old.first], isDone };
  for (const credential of credentials) {
    next.total += 1;
    next[credential.state] += 1;
    next[credential.credential_type] += 1;
    if (!needsAttention(credential)) continue;
    const cause = attention(credential);
    next.needing += 1;
    next.causes[cause.label] = (next.causes[cause.label] ?? 0) + 1;
    if (next.first.length < MAX_SHOWN) next.first.push({ credential, cause });
  }
  return next;
}

/** Counts the credentials page by page. The first numbers are there before the last page is. */
function useCounts(api) {
  const [counts, setCounts] = useState(EMPTY);
  const [error, setError] = useState(null);
  const [round, setRound] = useState(0);
  useEffect(() => {
    let isCurrent = true;
    setCounts(EMPTY);
    setError(null);
    (async () => {
      let cursor;
      do {
        const page = await api.page("v2/zoom-credentials", { limit: PAGE, cursor });
        if (!isCurrent) return;
        cursor = page.next;
        setCounts((old) => count(old, page.data, !cursor));
      } while (cursor);
    })().catch((failure) => isCurrent && setError(failure));
    return () => (isCurrent = false);
  }, [api, round]);
  return { counts, error, recount: () => setRound((it) => it + 1) };
}

function Tile({ label, value, tone }) {
  return html`<div class=${`tile ${tone ?? ""}`}><span class="value">${number(value)}</span> <span class="label">${label}</span></div>`;
}

function Attention({ counts }) {
  if (counts.needing === 0) return html`<p>${counts.isDone ? "No credential needs attention." : "None so far."}</p>`;
  return html`<p>${Object.entries(counts.causes).map(([label, value]) => `${label}: ${number(value)}`).join(" · ")}</p>
    <${Table} label="Credentials that need attention" head=${html`<th scope="col">Credential</th><th scope="col">State</th><th scope="col">Who must act, and why</th><th scope="col">Since</th>`}>
      ${counts.first.map(({ credential, cause }) => html`<tr key=${credential.credential_id}>
        <td><a href=${`#/credentials/${credential.credential_id}`}>${credential.name}</a><br /><span class="quiet">${credential.zoom_email ?? ""}</span></td>
        <td><${StateBadge} credential=${credential} /></td>
        <td><strong>${whoActs(cause)}</strong> ${cause.what}</td>
        <td><${Time} at=${credential.last_error_at} /></td>
      </tr>`)}
    <//>
    ${counts.needing > counts.first.length && html`<p>These are the newest ${number(counts.first.length)} of ${number(counts.needing)}. <a href="#/credentials">The list of credentials</a> has all of them.</p>`}`;
}

function Expiring({ events }) {
  const { api, overview } = useSession();
  const [state, setState] = useState({});
  const soon = (at) => at && Date.parse(at) - Date.now() < SOON_MS;
  const ids = [...new Set(events.filter((event) => event.credential_id && (event.kind === "url_created" || event.actor?.type === "token_url")).map((event) => event.credential_id))];
  const look = async () => {
    setState({ busy: true });
    try {
      const found = [];
      for (const id of ids.slice(0, MAX_ASKED)) {
        try {
          for (const url of await api.get(credentialPath(id, "/token-urls"), { limit: 100 })) {
            if (soon(url.expires_at) && Date.parse(url.expires_at) > Date.now()) found.push({ ...url, id });
          }
        } catch (error) {
          if (error.status !== 404) throw error; // Deleted credentials have no URLs.
        }
      }
      setState({ found });
    } catch (error) {
      setState({ error });
    }
  };
  const { key } = overview;
  return html`<ul>
    <li>${key.expires_at
      ? html`This key expires <${Time} at=${key.expires_at} />${soon(key.expires_at) ? html`. <strong>Ask the operator for a new key now.</strong>` : "."}`
      : "This key does not expire."} Only the operator sees when the team's other keys expire.</li>
    ${state.found && html`<li>${state.found.length === 0 ? "No token URL expires within 14 days." : "Token URLs that expire within 14 days:"}
      ${state.found.length > 0 && html`<ul>${state.found.map((url) => html`<li key=${url.url_id}><a href=${`#/credentials/${url.id}`}>${url.label ?? url.type}</a> expires <${Time} at=${url.expires_at} /></li>`)}</ul>`}</li>`}
  </ul>
  <${Problem} error=${state.error} />
  ${ids.length > 0 && html`<p><button type="button" onClick=${look} aria-disabled=${state.busy ? "true" : undefined}>${state.busy ? "Looking …" : "Look for expiring token URLs"}</button>
    <span class="quiet"> Looks at ${Math.min(ids.length, MAX_ASKED)} credential${ids.length === 1 ? "" : "s"} whose URLs were made or used recently.</span></p>`}`;
}

export function Overview() {
  const { api, overview } = useSession();
  const { counts, error, recount } = useCounts(api);
  const seesTeam = !overview.key.extra;
  const events = useLoad(async (isCurrent) => (seesTeam ? lastEvents(api, isCurrent) : []), [api]);
  const list = events.data ?? [];
  return html`<${Heading}>Overview<//>
    <section aria-labelledby="credentials-title"><h2 id="credentials-title">Credentials</h2>
      <div class="tiles">
        <${Tile} label="credentials" value=${counts.total} />
        <${Tile} label="active" value=${counts.active} tone="green" />
        <${Tile} label="invalid" value=${counts.invalid} tone=${counts.invalid ? "red" : ""} />
        <${Tile} label="need attention" value=${counts.needing} tone=${counts.needing ? "amber" : ""} />
        <${Tile} label="of users" value=${counts.user} />
        <${Tile} label="of apps" value=${counts.app} />
      </div>
      <p role="status" class="quiet">${error ? "Counting stopped." : counts.isDone ? `Counted all ${number(counts.total)} credentials${overview.key.extra ? " that this key sees" : ""}.` : `Counting: ${number(counts.total)} so far …`}
        ${" "}<button type="button" class="small" onClick=${recount}>Count again</button></p>
      <${Problem} error=${error} retry=${recount} />
    </section>
    <section aria-labelledby="attention-title"><h2 id="attention-title">Needs attention</h2><${Attention} counts=${counts} /></section>
    <section aria-labelledby="expiry-title"><h2 id="expiry-title">Expires soon</h2><${Expiring} events=${list} /></section>
    <section aria-labelledby="events-title"><h2 id="events-title">Last ${number(list.length)} events of the team</h2>
      ${!seesTeam && html`<p>This key sees only some credentials, so it cannot read the events of the team.</p>`}
      ${events.loading && html`<${Loading} what="Reading events" />`}
      <${Problem} error=${events.error} retry=${events.reload} />
      ${seesTeam && !events.loading && !events.error && html`<div class="charts">
        <${BarChart} title="Mints" events=${list} kind="mint" good="minted" bad="failed" />
        <${BarChart} title="Refreshes" events=${list} kind="refresh" good="refreshed" bad="failed" />
      </div>`}
    </section>
    <section aria-labelledby="team-title"><h2 id="team-title">Team</h2>
      <dl class="facts">
        <dt>Changes a second</dt><dd>${number(overview.team.rate)}</dd>
        <dt>Mints a second</dt><dd>${number(overview.team.mint_rate)}</dd>
        <dt>Reads a second</dt><dd>${overview.team.read_rate === null ? "any number" : number(overview.team.read_rate)}</dd>
        <dt>Longest lifetime of a token</dt><dd>${number(overview.team.max_token_ttl)} s</dd>
        <dt>Deleting the last credential of a grant</dt><dd>${overview.team.revoke_on_delete ? "revokes the grant at Zoom" : "does not revoke the grant at Zoom"}</dd>
        <dt>Types of tokens for this key</dt><dd>${overview.key.token_types ? overview.key.token_types.join(", ") : "every type"}</dd>
        <dt>Created</dt><dd><${Time} at=${overview.team.created_at} /></dd>
      </dl></section>`;
}
