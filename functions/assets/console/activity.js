// The audit trail of the team, and the table of events that one credential shares with it.
import { useEffect, useState } from "./vendor/preact-hooks.js";
import { Field, Heading, Problem, Table, Time, html, number, useSession } from "./ui.js";

export const KINDS = {
  mint: "Token minted", access_token_released: "Access token released to a vendor", refresh: "Grant refreshed", revoke: "Grant revoked at Zoom", state_change: "State changed",
  created: "Credential created", updated: "Credential changed", deleted: "Credential deleted", restored: "Credential restored", purged: "Credential purged",
  url_created: "Token URL made", url_revoked: "Token URL revoked", session_created: "Connect link made", session_revoked: "Connect link ended",
  app_registered: "App registered", app_deleted: "App deleted", secret_rotated: "Client secret rotated", vendor_set: "Vendor secrets changed",
  endpoint_set: "Notification endpoint changed", endpoint_tested: "Notification endpoint tested", notification_failed: "Notification not delivered",
  capsule_replayed: "Logged tokens stored", row_repaired: "Row repaired by a sweep",
  key_created: "API key created", key_revoked: "API key revoked", team_changed: "Team settings changed",
};
const ACTORS = { key: "API key", token_url: "Token URL", connect_session: "Connect link", webhook: "Zoom webhook", schedule: "The vault itself", operator: "Operator" };

function summary(event) {
  const parts = [event.type, event.meeting_id && `meeting ${event.meeting_id}`, event.bot_id && `bot ${event.bot_id}`, event.state && `now ${event.state}`, event.reason, event.changed?.length ? `changed: ${event.changed.join(", ")}` : null];
  return parts.filter(Boolean).join(" · ");
}

/** Events as a table. `withCredential` adds the credential of each event. */
export function Events({ events, label, withCredential = false }) {
  return html`<${Table} label=${label} head=${html`<th scope="col">When</th><th scope="col">What</th><th scope="col">Outcome</th><th scope="col">Who</th>${withCredential && html`<th scope="col">Credential</th>`}<th scope="col">Request ID</th>`}>
    ${events.map((event) => html`<tr key=${event.event_id}>
      <td><${Time} at=${event.at} /></td>
      <td>${KINDS[event.kind] ?? event.kind}<br /><span class="quiet">${summary(event)}</span></td>
      <td>${event.outcome === "failed" ? html`<span class="badge red">Failed</span><br /><code>${event.code}</code>` : event.outcome === "succeeded" ? html`<span class="badge green">Succeeded</span>` : "–"}</td>
      <td>${event.actor ? ACTORS[event.actor.type] ?? event.actor.type : "–"}${event.actor?.id && html`<br /><code>${event.actor.id}</code>`}</td>
      ${withCredential && html`<td>${event.credential_id ? html`<a href=${`#/credentials/${event.credential_id}`}>${event.credential_id.slice(0, 8)}…</a>` : "–"}</td>`}
      <td><code>${event.request_id}</code></td>
    </tr>`)}
  <//>`;
}

/** Loads events page by page: `{events, next, loading, error, more}`. */
export function useEvents(path, query, limit = 100) {
  const { api } = useSession();
  const [list, setList] = useState({ events: [], next: null, loading: true });
  const wanted = JSON.stringify(query);
  const load = async (cursor, isCurrent) => {
    setList((old) => ({ ...old, loading: true, error: null }));
    try {
      const page = await api.page(path, { ...query, limit, cursor });
      if (isCurrent()) setList((old) => ({ events: cursor ? old.events.concat(page.data) : page.data, next: page.next, loading: false }));
    } catch (error) {
      if (isCurrent()) setList((old) => ({ ...old, loading: false, error }));
    }
  };
  useEffect(() => {
    let isCurrent = true;
    setList({ events: [], next: null, loading: true });
    const timer = setTimeout(() => load(undefined, () => isCurrent), 250);
    return () => {
      isCurrent = false;
      clearTimeout(timer);
    };
  }, [api, path, wanted]);
  return { ...list, more: () => !list.loading && load(list.next ?? undefined, () => true) };
}

/** A choice among the kinds of events. */
export function KindFilter({ value, onChange, kinds = Object.keys(KINDS) }) {
  return html`<${Field} label="Kind" control=${(props) => html`<select ...${props} value=${value} onChange=${(event) => onChange(event.target.value)}>
    <option value="">Every kind</option>${kinds.map((kind) => html`<option key=${kind} value=${kind}>${KINDS[kind] ?? kind}</option>`)}</select>`} />`;
}

export function Activity() {
  const { overview } = useSession();
  if (overview.key.extra) {
    return html`<${Heading}>Activity<//><p>This key sees only some credentials, so it cannot read the events of the team. The events of a credential are on its page.</p>`;
  }
  return html`<${TeamActivity} />`;
}

function TeamActivity() {
  const [kind, setKind] = useState("");
  const [actor, setActor] = useState("");
  const [actorId, setActorId] = useState("");
  const list = useEvents("v2/events", { kind, actor: actor && (actorId.trim() ? `${actor}:${actorId.trim()}` : actor) });
  return html`<${Heading}>Activity<//>
    <form class="filters" role="search" aria-label="Events" onSubmit=${(event) => event.preventDefault()}>
      <${KindFilter} value=${kind} onChange=${setKind} />
      <${Field} label="Actor" control=${(props) => html`<select ...${props} value=${actor} onChange=${(event) => setActor(event.target.value)}>
        <option value="">Everybody</option>${Object.entries(ACTORS).map(([value, label]) => html`<option key=${value} value=${value}>${label}</option>`)}</select>`} />
      <${Field} label="Actor ID" hint=${actor ? undefined : "Choose an actor first"} control=${(props) => html`<input ...${props} autocomplete="off" disabled=${!actor} value=${actorId} onInput=${(event) => setActorId(event.target.value)} />`} />
    </form>
    <${Problem} error=${list.error} retry=${list.more} />
    <p role="status">${list.loading ? "Reading events …" : `${number(list.events.length)} events${list.next ? ", and there are more" : ""}.`}</p>
    ${list.events.length > 0 && html`<${Events} label="Events of the team" events=${list.events} withCredential />`}
    ${list.next && html`<p><button type="button" onClick=${list.more}>Show older events</button></p>`}`;
}
