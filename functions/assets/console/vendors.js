// The team's secrets at bot vendors. With them, a token URL can verify that the vendor made a call.
import { useState } from "./vendor/preact-hooks.js";
import { Action, Field, Heading, Problem, Time, html, useChange, useSession, useTeamDenial } from "./ui.js";

export const VENDORS = { recall: "Recall.ai", attendee: "Attendee", meetstream: "MeetStream" };

function Vendor({ vendor, stored, onDone }) {
  const { api } = useSession();
  const denial = useTeamDenial();
  const [one, setOne] = useState("");
  const [other, setOther] = useState("");
  const [isAsking, setAsking] = useState(false);
  const [run, { busy, error, done }] = useChange();
  const submit = (event) => {
    event.preventDefault();
    if (denial || !one) return;
    run(async () => {
      await api.send("PUT", `v2/vendors/${vendor}`, { secrets: [one, other].filter(Boolean) });
      setOne("");
      setOther("");
      await onDone();
    });
  };
  const remove = () => run(async () => {
    await api.send("DELETE", `v2/vendors/${vendor}`);
    setAsking(false);
    await onDone();
  });
  const input = (value, set, more) => (props) => html`<input ...${props} ...${more} type="password" autocomplete="off" value=${value} onInput=${(event) => set(event.target.value)} />`;
  return html`<section class="card" aria-labelledby=${`${vendor}-title`}>
    <h2 id=${`${vendor}-title`}>${VENDORS[vendor]}</h2>
    <p>${stored ? html`${stored.secrets === 2 ? "Two secrets are" : "One secret is"} stored, since <${Time} at=${stored.updated_at} />.` : "No secret is stored."}</p>
    <form onSubmit=${submit} autocomplete="off">
      <${Field} label=${`Secret of ${VENDORS[vendor]}`} hint="As the vendor shows it. It replaces what is stored." control=${input(one, setOne, { required: true })} />
      <${Field} label="Second secret (optional)" hint="While you rotate: the vault then accepts both" control=${input(other, setOther)} />
      <${Action} submit denial=${denial} busy=${busy}>Store<//>
    </form>
    ${stored && (isAsking
      ? html`<div class="consequences"><p>Token URLs that verify calls of ${VENDORS[vendor]} then refuse every call, until you store a secret again.</p>
        <${Action} danger denial=${denial} busy=${busy} onClick=${remove}>Delete the secrets<//> <button type="button" onClick=${() => setAsking(false)}>Keep them</button></div>`
      : html`<${Action} denial=${denial} onClick=${() => setAsking(true)}>Delete the secrets …<//>`)}
    <p role="status">${done && "Done."}</p>
    <${Problem} error=${error} />
  </section>`;
}

export function Vendors() {
  const { overview, reloadOverview } = useSession();
  if (!overview.vendors) return html`<${Heading}>Vendors<//><p>This key sees only some credentials of the team, so it cannot see the team's vendors.</p>`;
  return html`<${Heading}>Vendors<//>
    <p>Bot vendors sign their calls with a secret that you share with them. Store the secret here, and make token URLs that verify the vendor.</p>
    ${Object.keys(VENDORS).map((vendor) => html`<${Vendor} key=${vendor} vendor=${vendor} stored=${overview.vendors.find((it) => it.vendor === vendor)} onDone=${reloadOverview} />`)}`;
}
