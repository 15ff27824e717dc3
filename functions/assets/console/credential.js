// One credential: what it is, what is wrong, and everything that can be done with it.
import { useState } from "./vendor/preact-hooks.js";
import { credentialPath } from "./api.js";
import { attention, whoActs } from "./attention.js";
import { Events, KindFilter, useEvents } from "./activity.js";
import { Check, Delete, Extra, Reconnect, Rename, ReplaceSecret, Restore, TokenUrls } from "./credential-panels.js";
import { Heading, Loading, Problem, StateBadge, Time, html, number, useDenial, useLoad, useSession } from "./ui.js";

/** Reads the credential. A deleted credential is only in the list of deleted ones. */
async function load(api, id, isCurrent) {
  try {
    return { credential: await api.get(credentialPath(id)), deleted: false };
  } catch (error) {
    if (error.status !== 404) throw error;
    let cursor;
    do {
      const page = await api.page("v2/zoom-credentials", { deleted: "true", limit: 1000, cursor });
      const found = page.data.find((it) => it.credential_id === id);
      if (found) return { credential: found, deleted: true };
      cursor = page.next;
    } while (cursor && isCurrent());
    throw error;
  }
}

function Profile({ credential }) {
  const text = (value) => value ?? html`<span class="quiet">unknown</span>`;
  const scopes = credential.scopes?.split(",").map((scope) => scope.trim()).filter(Boolean);
  return html`<dl class="facts">
    <dt>Credential ID</dt><dd><code>${credential.credential_id}</code></dd>
    <dt>Type</dt><dd>${credential.credential_type === "user" ? "Zoom user" : "Zoom app without a user"}</dd>
    ${credential.credential_type === "user" && html`
      <dt>Display name</dt><dd>${text(credential.zoom_display_name)}</dd>
      <dt>Email</dt><dd>${text(credential.zoom_email)}</dd>
      <dt>Zoom user ID</dt><dd>${credential.zoom_user_id ? html`<code>${credential.zoom_user_id}</code>` : text(null)}</dd>
      <dt>Zoom account ID</dt><dd>${credential.zoom_account_id ? html`<code>${credential.zoom_account_id}</code>` : text(null)}</dd>
      <dt>Scopes</dt><dd>${scopes?.length ? html`<ul class="scopes">${scopes.map((scope) => html`<li key=${scope}><code>${scope}</code></li>`)}</ul>` : text(null)}</dd>`}
    <dt>Created</dt><dd><${Time} at=${credential.created_at} /></dd>
    <dt>Changed</dt><dd><${Time} at=${credential.updated_at} /></dd>
  </dl>`;
}

/** What is wrong, who must act, and the way to act. */
function Wrong({ credential, onChange }) {
  const cause = attention(credential);
  if (!cause) return html`<p>Nothing is wrong, as far as the vault knows.</p>`;
  return html`<div class="wrong">
    <p><strong>${whoActs(cause)}</strong> ${cause.what}</p>
    ${credential.last_error_message && html`<p class="quiet">The vault says, <${Time} at=${credential.last_error_at} />: <q>${credential.last_error_message}</q></p>`}
    ${cause.action === "reconnect" && html`<${Reconnect} credential=${credential} onChange=${onChange} />`}
    ${cause.action === "secret" && html`<${ReplaceSecret} credential=${credential} onChange=${onChange} />`}
    ${cause.action === "check" && html`<p>Use “Check now” below. If somebody has just changed something at Zoom, wait a minute first.</p>`}
  </div>`;
}

function Timeline({ id }) {
  const [kind, setKind] = useState("");
  const list = useEvents(credentialPath(id, "/events"), {});
  const shown = kind ? list.events.filter((event) => event.kind === kind) : list.events;
  const kinds = [...new Set(list.events.map((event) => event.kind))].sort();
  return html`<section aria-labelledby="events-title"><h2 id="events-title">Events</h2>
    <div class="filters"><${KindFilter} value=${kind} onChange=${setKind} kinds=${kinds} /></div>
    <${Problem} error=${list.error} retry=${list.more} />
    <p role="status">${list.loading ? "Reading events …" : `${number(shown.length)} of ${number(list.events.length)} loaded events${list.next ? ", and there are older ones" : ""}.`}</p>
    ${shown.length > 0 && html`<${Events} label="Events of the credential" events=${shown} />`}
    ${list.next && html`<p><button type="button" onClick=${list.more}>Show older events</button></p>`}
  </section>`;
}

export function CredentialView({ id }) {
  const { api } = useSession();
  const denial = useDenial();
  const { data, error, loading, reload } = useLoad((isCurrent) => load(api, id, isCurrent), [api, id]);
  if (!data) {
    return html`<${Heading}>Credential<//>${loading && html`<${Loading} what="Reading the credential" />`}<${Problem} error=${error} retry=${reload} />
      <p><a href="#/credentials">All credentials</a></p>`;
  }
  const { credential, deleted } = data;
  return html`<${Heading}>${credential.name}<//>
    <p><a href="#/credentials">All credentials</a> · <${StateBadge} credential=${credential} deleted=${deleted} /> <button type="button" class="small" onClick=${reload}>Reload</button></p>
    <${Problem} error=${error} retry=${reload} />
    ${denial && html`<p class="notice">${denial}</p>`}
    ${deleted
      ? html`<section aria-labelledby="restore-title"><h2 id="restore-title">Deleted</h2><${Restore} credential=${credential} onChange=${reload} /></section>`
      : html`<section aria-labelledby="wrong-title"><h2 id="wrong-title">What is wrong</h2><${Wrong} credential=${credential} onChange=${reload} /></section>`}
    <section aria-labelledby="profile-title"><h2 id="profile-title">Profile</h2><${Profile} credential=${credential} /></section>
    ${!deleted && html`
      <section aria-labelledby="check-title"><h2 id="check-title">Capabilities</h2><${Check} credential=${credential} onChange=${reload} /></section>
      ${credential.credential_type === "user" && html`<section aria-labelledby="urls-title"><h2 id="urls-title">Token URLs</h2><${TokenUrls} credential=${credential} /></section>`}
      ${!attention(credential) && credential.credential_type === "user" && html`<section aria-labelledby="again-title"><h2 id="again-title">Connect again</h2><${Reconnect} credential=${credential} onChange=${reload} /></section>`}
      <section aria-labelledby="name-title"><h2 id="name-title">Name</h2><${Rename} key=${credential.name} credential=${credential} onChange=${reload} /></section>
      <section aria-labelledby="extra-title"><h2 id="extra-title">Extra</h2><${Extra} key=${credential.updated_at} credential=${credential} onChange=${reload} /></section>
      <${Timeline} id=${id} />
      <section aria-labelledby="delete-title"><h2 id="delete-title">Delete</h2><${Delete} credential=${credential} onChange=${reload} /></section>`}`;
}
