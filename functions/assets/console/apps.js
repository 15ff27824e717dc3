// The team's Zoom apps: registration for webhooks, and new client secrets.
import { useState } from "./vendor/preact-hooks.js";
import { Action, Copy, Field, Heading, Problem, Time, html, number, useChange, useSession, useTeamDenial } from "./ui.js";

/** Calls the rotation until it is done, and tells the progress. */
async function rotate(api, clientId, clientSecret, onProgress) {
  const sum = { credentials: 0, resealed: 0, healed: 0, failed: 0, unreadable: 0 };
  let cursor, stuck = 0;
  for (;;) {
    const { data, next } = await api.send("POST", `v2/zoom-apps/${encodeURIComponent(clientId)}/rotate-secret`, { client_secret: clientSecret }, { cursor });
    for (const name of Object.keys(sum)) sum[name] = name === "failed" ? data.failed : sum[name] + data[name];
    onProgress({ ...sum });
    if (data.done) return sum;
    stuck = data.resealed === 0 ? stuck + 1 : 0;
    if (stuck >= 3) throw new Error("The rotation makes no progress. Try again in a minute: it continues where it stopped.");
    cursor = next ?? undefined;
  }
}

export function Rotate({ clientId, onDone }) {
  const { api } = useSession();
  const denial = useTeamDenial();
  const [secret, setSecret] = useState("");
  const [progress, setProgress] = useState(null);
  const [run, { busy, error, done }] = useChange();
  const submit = (event) => {
    event.preventDefault();
    if (denial || !secret) return;
    setProgress(null);
    run(async () => {
      const sum = await rotate(api, clientId, secret, setProgress);
      setSecret("");
      onDone?.();
      return sum;
    });
  };
  return html`<form onSubmit=${submit} autocomplete="off">
    <p>First change the client secret at Zoom. The vault then checks the new secret there, and stores it in every credential of this app.</p>
    <${Field} label="New client secret" control=${(props) => html`<input ...${props} type="password" autocomplete="off" required value=${secret} onInput=${(event) => setSecret(event.target.value)} />`} />
    <${Action} submit denial=${denial} busy=${busy}>Rotate the client secret<//>
    <p role="status">${progress && `${done ? "Done" : "Working"}: ${number(progress.resealed)} of ${number(progress.credentials)} credentials so far have the new secret, ${number(progress.healed)} work again, ${number(progress.failed)} failed.`}</p>
    <${Problem} error=${error} />
  </form>`;
}

function Register({ onDone }) {
  const { api } = useSession();
  const denial = useTeamDenial();
  const [form, setForm] = useState({ client_id: "", name: "", client_secret: "", webhook_secret_token: "" });
  const [run, { busy, error, done }] = useChange();
  const input = (name, more) => (props) => html`<input ...${props} ...${more} autocomplete="off" value=${form[name]} onInput=${(event) => setForm({ ...form, [name]: event.target.value })} />`;
  const submit = (event) => {
    event.preventDefault();
    if (denial) return;
    run(async () => {
      const { client_id, name, ...secrets } = form;
      const { data } = await api.send("PUT", `v2/zoom-apps/${encodeURIComponent(client_id.trim())}`, { ...secrets, ...(name.trim() && { name: name.trim() }) });
      setForm({ client_id: "", name: "", client_secret: "", webhook_secret_token: "" });
      await onDone();
      return data;
    });
  };
  return html`<form onSubmit=${submit} autocomplete="off">
    <${Field} label="Client ID" control=${input("client_id", { required: true })} />
    <${Field} label="Name (optional)" control=${input("name", { maxlength: 256 })} />
    <${Field} label="Client secret" hint="The vault tries it at Zoom, and does not store it here" control=${input("client_secret", { required: true, type: "password" })} />
    <${Field} label="Webhook secret token" hint="In the Marketplace: your app, Features, Access, Secret Token" control=${input("webhook_secret_token", { required: true, type: "password" })} />
    <${Problem} error=${error} />
    <${Action} submit denial=${denial} busy=${busy}>Register the app<//>
    <p role="status">${done?.client_id && `Registered ${done.client_id}. Now enter its webhook URL at Zoom.`}</p>
  </form>`;
}

function App({ app, onDone }) {
  const { api } = useSession();
  const denial = useTeamDenial();
  const [isAsking, setAsking] = useState(false);
  const [run, { busy, error }] = useChange();
  const remove = () => run(async () => {
    await api.send("DELETE", `v2/zoom-apps/${encodeURIComponent(app.client_id)}`);
    await onDone();
  });
  return html`<div class="card">
    <h3>${app.name ?? app.client_id}</h3>
    <dl class="facts"><dt>Client ID</dt><dd><code>${app.client_id}</code></dd><dt>Registered</dt><dd><${Time} at=${app.updated_at} /></dd></dl>
    <p>Enter this webhook URL at Zoom as the event notification endpoint URL:</p>
    <div class="link"><p><code>${app.webhook_url}</code></p><${Copy} text=${app.webhook_url} what="the webhook URL" /></div>
    <details><summary>Rotate the client secret</summary><${Rotate} clientId=${app.client_id} /></details>
    ${isAsking
      ? html`<div class="consequences"><p>The vault then ignores what Zoom tells about this app. If a user removes the app, the vault learns it only when a bot needs a token. Credentials stay as they are.</p>
        <${Action} danger denial=${denial} busy=${busy} onClick=${remove}>Delete the registration<//> <button type="button" onClick=${() => setAsking(false)}>Keep it</button></div>`
      : html`<${Action} denial=${denial} onClick=${() => setAsking(true)}>Delete the registration …<//>`}
    <${Problem} error=${error} />
  </div>`;
}

export function Apps() {
  const { overview, reloadOverview } = useSession();
  if (!overview.apps) return html`<${Heading}>Apps<//><p>This key sees only some credentials of the team, so it cannot see the team's apps.</p>`;
  return html`<${Heading}>Apps<//>
    <section aria-labelledby="apps-title"><h2 id="apps-title">Registered apps</h2>
      ${overview.apps.length === 0 && html`<p>No app is registered. Register an app, so that the vault learns at once when a user removes it.</p>`}
      ${overview.apps.map((app) => html`<${App} key=${app.client_id} app=${app} onDone=${reloadOverview} />`)}
    </section>
    <section aria-labelledby="register-title"><h2 id="register-title">Register an app</h2><${Register} onDone=${reloadOverview} /></section>`;
}
