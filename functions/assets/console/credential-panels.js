// The parts of a credential's page that change something.
import { useState } from "./vendor/preact-hooks.js";
import { credentialPath } from "./api.js";
import { ConnectLink, makeSession } from "./connect.js";
import { Action, Copy, Field, Loading, Problem, Table, Time, html, number, parseExtra, useChange, useDenial, useLoad, useSession } from "./ui.js";
import { VENDORS } from "./vendors.js";

const CAPABILITIES = { app: "The app: client ID and secret", onbehalf: "Join on behalf of the user", zak: "Join and start as the user (ZAK)", local_recording: "Local recording", profile: "Profile" };
const STATUSES = { granted: ["green", "Works"], missing_scope: ["amber", "Missing scope"], failing: ["red", "Does not work"], unknown: ["grey", "Unknown"] };
const URL_TYPES = { onbehalf: "Join on behalf of the user", zak: "Join and start as the user (ZAK)", local_recording: "Local recording", access_token: "The user's access token" };

/** Makes a link with which the user authorizes again. */
export function Reconnect({ credential, onChange }) {
  const { api } = useSession();
  const denial = useDenial();
  const [session, setSession] = useState(null);
  const [run, { busy, error }] = useChange();
  const make = () => run(async () => setSession(await makeSession(api, { credential_id: credential.credential_id, name: credential.name })));
  return html`<p>The user opens a link, and authorizes the app again. The credential keeps its ID, its token URLs and its extra.</p>
    <${Action} denial=${denial} busy=${busy} onClick=${make}>Make a reconnect link<//>
    <${Problem} error=${error} />
    ${session && html`<${ConnectLink} key=${session.session_id} session=${session} onConnected=${onChange} />`}`;
}

/** Stores the right client secret of one credential. */
export function ReplaceSecret({ credential, onChange }) {
  const { api, overview } = useSession();
  const denial = useDenial();
  const [form, setForm] = useState({ client_id: "", client_secret: "" });
  const [run, { busy, error }] = useChange();
  const submit = (event) => {
    event.preventDefault();
    if (denial) return;
    run(async () => {
      await api.send("PATCH", credentialPath(credential.credential_id), { client_id: form.client_id.trim(), client_secret: form.client_secret });
      setForm({ client_id: "", client_secret: "" });
      onChange();
    });
  };
  const input = (name, more) => (props) => html`<input ...${props} ...${more} required autocomplete="off" value=${form[name]} onInput=${(event) => setForm({ ...form, [name]: event.target.value })} />`;
  return html`<p>If all credentials of the app have the old secret, <a href="#/apps">rotate the secret of the app</a>. To replace it in this credential alone:</p>
    <form onSubmit=${submit} autocomplete="off">
      <${Field} label="Client ID" hint="The same client ID as before" control=${input("client_id", { list: "apps-of-team" })} />
      <datalist id="apps-of-team">${(overview.apps ?? []).map((app) => html`<option key=${app.client_id} value=${app.client_id}>${app.name ?? ""}</option>`)}</datalist>
      <${Field} label="Client secret" control=${input("client_secret", { type: "password" })} />
      <${Problem} error=${error} />
      <${Action} submit denial=${denial} busy=${busy}>Replace the secret<//>
    </form>`;
}

/** Asks Zoom what the credential can be used for. */
export function Check({ credential, onChange }) {
  const { api } = useSession();
  const denial = useDenial();
  const [run, { busy, error, done }] = useChange();
  const check = () => run(async () => {
    const { data } = await api.send("POST", credentialPath(credential.credential_id, "/check"), {});
    if (data.state !== credential.state) onChange();
    return data;
  });
  return html`<p>A check tries each use at Zoom, and drops the tokens that it gets.</p>
    <${Action} denial=${denial} busy=${busy} onClick=${check}>Check now<//>
    <${Problem} error=${error} />
    ${done?.capabilities && html`<p role="status">Checked <${Time} at=${done.checked_at} />. The credential is ${done.state}.</p>
      <${Table} label="Result of the check" head=${html`<th scope="col">Use</th><th scope="col">Result</th><th scope="col">Reason</th>`}>
        ${Object.entries(done.capabilities).map(([name, it]) => it && html`<tr key=${name}><td>${CAPABILITIES[name] ?? name}</td>
          <td><span class=${`badge ${STATUSES[it.status]?.[0]}`}>${STATUSES[it.status]?.[1] ?? it.status}</span></td>
          <td>${it.reason ?? (it.scope && it.status === "missing_scope" ? html`Needs the scope <code>${it.scope}</code>` : "–")}${it.code && html`<br /><code>${it.code}</code>`}</td></tr>`)}
      <//>`}`;
}

function NewUrl({ credential, onMade }) {
  const { api, overview } = useSession();
  const denial = useDenial();
  const [form, setForm] = useState({ type: "onbehalf", label: "", meeting_id: "", verify: "", max_uses: "", days: "" });
  const [run, { busy, error }] = useChange();
  const set = (name) => (event) => setForm({ ...form, [name]: event.target.value });
  const submit = (event) => {
    event.preventDefault();
    if (denial) return;
    run(async () => {
      const body = { type: form.type };
      if (form.label.trim()) body.label = form.label.trim();
      if (form.meeting_id.trim()) body.meeting_id = form.meeting_id.replaceAll(/\s/g, "");
      if (form.verify) body.verify = form.verify;
      if (form.max_uses) body.max_uses = Number(form.max_uses);
      if (form.days) body.expires_in = Math.round(Number(form.days) * 86_400);
      const { data } = await api.send("POST", credentialPath(credential.credential_id, "/token-urls"), body);
      onMade(data);
    });
  };
  const mayMake = (type) => (!overview.key.token_types || overview.key.token_types.includes(type)) && (type !== "access_token" || overview.team.access_token_urls);
  const allowed = Object.entries(URL_TYPES).filter(([type]) => mayMake(type));
  const input = (name, more) => (props) => html`<input ...${props} ...${more} autocomplete="off" value=${form[name]} onInput=${set(name)} />`;
  return html`<form onSubmit=${submit} class="columns" autocomplete="off">
    <${Field} label="Type of token" control=${(props) => html`<select ...${props} value=${form.type} onChange=${set("type")}>${allowed.map(([value, label]) => html`<option key=${value} value=${value}>${label}</option>`)}</select>`} />
    <${Field} label="Label (optional)" control=${input("label", { maxlength: 256 })} />
    <${Field} label="Only for this meeting ID (optional)" control=${input("meeting_id", { inputmode: "numeric" })} />
    <${Field} label="Verify calls of" control=${(props) => html`<select ...${props} value=${form.verify} onChange=${set("verify")}><option value="">Nobody: whoever has the URL gets tokens</option>
      ${(overview.vendors ?? []).map((it) => html`<option key=${it.vendor} value=${it.vendor}>${VENDORS[it.vendor]}</option>`)}</select>`} />
    <${Field} label="Uses (optional)" hint="Empty: any number" control=${input("max_uses", { type: "number", min: 1, step: 1 })} />
    <${Field} label="Days until it expires (optional)" hint="Empty: never" control=${input("days", { type: "number", min: 0.01, step: "any" })} />
    <div class="wide"><${Problem} error=${error} /><${Action} submit denial=${denial} busy=${busy}>Make a token URL<//></div>
  </form>`;
}

/** The token URLs of the credential. A new URL is shown once. */
export function TokenUrls({ credential }) {
  const { api } = useSession();
  const denial = useDenial();
  const path = credentialPath(credential.credential_id, "/token-urls");
  const [made, setMade] = useState(null);
  const [cursor, setCursor] = useState(undefined);
  const { data, error, loading, reload } = useLoad(() => api.page(path, { limit: 100, cursor }), [api, path, cursor]);
  const [run, change] = useChange();
  const [asked, setAsked] = useState(null);
  const revoke = (url) => run(async () => {
    await api.send("DELETE", `${path}/${url.url_id}`);
    setAsked(null);
    if (made?.url_id === url.url_id) setMade(null);
    reload();
  });
  const urls = data?.data ?? [];
  const limits = (url) => [url.meeting_id && `meeting ${url.meeting_id}`, url.verify && `only ${VENDORS[url.verify] ?? url.verify}`, url.max_uses ? `${number(url.uses)} of ${number(url.max_uses)} uses` : `${number(url.uses)} uses`].filter(Boolean).join(" · ");
  return html`
    ${made && html`<div class="card once"><h3>The new token URL</h3><p><strong>Copy it now. The vault cannot show it again.</strong> Whoever has this URL gets tokens${made.verify ? `, if ${VENDORS[made.verify]} makes the call` : ""}.</p>
      <div class="link"><p><code class="secret">${made.url}</code></p><${Copy} text=${made.url} what="the URL" /></div><button type="button" onClick=${() => setMade(null)}>I have copied it</button></div>`}
    <${Problem} error=${error} retry=${reload} />
    ${loading && !data && html`<${Loading} what="Reading token URLs" />`}
    ${data && urls.length === 0 && html`<p>No token URLs.</p>`}
    ${urls.length > 0 && html`<${Table} label="List of token URLs" head=${html`<th scope="col">Label</th><th scope="col">Type</th><th scope="col">Limits</th><th scope="col">Made</th><th scope="col">Expires</th><th scope="col">Revoke</th>`}>
      ${urls.map((url) => html`<tr key=${url.url_id}>
        <td>${url.label ?? html`<span class="quiet">no label</span>`}</td><td>${URL_TYPES[url.type] ?? url.type}</td><td>${limits(url)}</td>
        <td><${Time} at=${url.created_at} /><br /><span class="quiet">by ${url.created_by}</span></td><td><${Time} at=${url.expires_at} none="never" /></td>
        <td>${asked === url.url_id
          ? html`Bots with this URL get no more tokens. <${Action} danger denial=${denial} busy=${change.busy} onClick=${() => revoke(url)}>Revoke the URL<//> <button type="button" onClick=${() => setAsked(null)}>Keep it</button>`
          : html`<${Action} denial=${denial} onClick=${() => setAsked(url.url_id)}>Revoke …<//>`}</td></tr>`)}
    <//>`}
    ${data?.next && html`<p><button type="button" onClick=${() => setCursor(data.next)}>Show the next page</button></p>`}
    ${cursor && html`<p><button type="button" onClick=${() => setCursor(undefined)}>Back to the newest</button></p>`}
    <${Problem} error=${change.error} />
    <details><summary>Make a token URL</summary><${NewUrl} credential=${credential} onMade=${(url) => (setMade(url), reload())} /></details>`;
}

export function Rename({ credential, onChange }) {
  const { api } = useSession();
  const denial = useDenial();
  const [name, setName] = useState(credential.name);
  const [run, { busy, error }] = useChange();
  const submit = (event) => {
    event.preventDefault();
    if (denial || !name.trim()) return;
    run(async () => {
      await api.send("PATCH", credentialPath(credential.credential_id), { name: name.trim() });
      onChange();
    });
  };
  return html`<form onSubmit=${submit}>
    <${Field} label="Name" control=${(props) => html`<input ...${props} required maxlength="256" autocomplete="off" value=${name} onInput=${(event) => setName(event.target.value)} />`} />
    <${Problem} error=${error} /><${Action} submit denial=${denial} busy=${busy}>Rename<//>
  </form>`;
}

/** Edits the JSON object. `null` clears it. */
export function Extra({ credential, onChange }) {
  const { api } = useSession();
  const denial = useDenial();
  const [text, setText] = useState(credential.extra === null ? "" : JSON.stringify(credential.extra, null, 2));
  const [run, { busy, error }] = useChange();
  const parsed = parseExtra(text);
  const submit = (event) => {
    event.preventDefault();
    if (denial || parsed.error) return;
    run(async () => {
      await api.send("PATCH", credentialPath(credential.credential_id), { extra: parsed.value });
      onChange();
    });
  };
  return html`<form onSubmit=${submit}>
    <${Field} label="Extra, a JSON object" hint="Empty: no extra. Keys with a limit on extra may lose sight of the credential." error=${parsed.error}
      control=${(props) => html`<textarea ...${props} rows="6" spellcheck=${false} value=${text} onInput=${(event) => setText(event.target.value)}></textarea>`} />
    <${Problem} error=${error} /><${Action} submit denial=${denial} busy=${busy}>Save the extra<//>
  </form>`;
}

export function Delete({ credential, onChange }) {
  const { api, overview } = useSession();
  const denial = useDenial();
  const [isAsking, setAsking] = useState(false);
  const [run, { busy, error }] = useChange();
  const remove = () => run(async () => {
    await api.send("DELETE", credentialPath(credential.credential_id));
    onChange();
  });
  if (!isAsking) return html`<${Action} denial=${denial} onClick=${() => setAsking(true)}>Delete the credential …<//>`;
  return html`<div class="consequences"><p>If you delete <strong>${credential.name}</strong>:</p>
    <ul><li>Bots get no more tokens with this credential.</li><li>Its token URLs stop working.</li>
      <li>The encrypted data stays for a while (30 days, unless the operator chose another time). Until then you can restore the credential. After that, the vault destroys the data.</li>
      ${overview.team.revoke_on_delete && html`<li>If no other credential uses the grant, the vault revokes the grant at Zoom. Then a restored credential needs its user to authorize again.</li>`}</ul>
    <${Action} danger denial=${denial} busy=${busy} onClick=${remove}>Delete the credential<//> <button type="button" onClick=${() => setAsking(false)}>Keep it</button>
    <${Problem} error=${error} /></div>`;
}

export function Restore({ credential, onChange }) {
  const { api } = useSession();
  const denial = useDenial();
  const [run, { busy, error }] = useChange();
  const restore = () => run(async () => {
    await api.send("POST", credentialPath(credential.credential_id, "/restore"));
    onChange();
  });
  return html`<p>This credential is deleted. You can restore it until the vault destroys its data. Its token URLs then work again.</p>
    <${Action} denial=${denial} busy=${busy} onClick=${restore}>Restore the credential<//><${Problem} error=${error} />`;
}
