import { createDecipheriv, randomUUID } from "node:crypto";

import { DecryptCommand, KMSClient } from "@aws-sdk/client-kms";
import { PutCommand, UpdateCommand } from "@aws-sdk/lib-dynamodb";

import { Refused, apiKey, handler as of, keyAndCredential, read, tables } from "./vault.mjs";

const kms = new KMSClient({});
const LIFETIME_SECONDS = 7200;
const MARGIN_MS = 10 * 60_000;
const RETENTION_SECONDS = 90 * 24 * 3600;
/** Access tokens that were opened in the last minute, by the credential's id. */
const opened = new Map();

/** Counts the call in the team's window of this second. */
async function count(team, keyId) {
  const second = Math.floor(Date.now() / 1000);
  const { Attributes } = await tables.send(
    new UpdateCommand({
      TableName: process.env.REQUESTS_TABLE,
      Key: { request_id: `mint#${team}#${second}` },
      UpdateExpression: "ADD hits :one, #own :one SET expires_at = :end",
      ExpressionAttributeNames: { "#own": `key_${keyId}` },
      ExpressionAttributeValues: { ":one": 1, ":end": second + 60 },
      ReturnValues: "UPDATED_NEW",
    }),
  );
  return Attributes.hits;
}

/** The row of the secret, unless its token is in memory. */
async function secretOf(id) {
  const known = opened.get(id);
  if (known && known.until > Date.now() && known.expires_at > Date.now() + MARGIN_MS) return { known };
  return { row: await read(process.env.SECRETS_TABLE, { secret_id: `peer#${id}` }) };
}

async function accessToken(team, id, { known, row }) {
  if (known) return known.token;
  if (!row) throw new Refused(409, "reconnect");
  if (row.access_expires_at <= Date.now() + MARGIN_MS) throw new Refused(503, "no refresh in this program");
  const { Plaintext } = await kms.send(
    new DecryptCommand({ CiphertextBlob: row.dek, EncryptionContext: { team, secret_id: row.secret_id } }),
  );
  const sealed = Buffer.from(row.sealed);
  const decipher = createDecipheriv("aes-256-gcm", Plaintext, sealed.subarray(0, 12));
  decipher.setAAD(Buffer.from(`${team}/${row.secret_id}`));
  decipher.setAuthTag(sealed.subarray(-16));
  const text = Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]);
  const token = JSON.parse(text).access_token;
  opened.set(id, { token, expires_at: row.access_expires_at, until: Date.now() + 60_000 });
  return token;
}

async function askZoom(type, token) {
  const url = `${process.env.ZOOM_API_BASE_URL}/v2/users/me/token?type=${encodeURIComponent(type)}`;
  const answer = await fetch(url, {
    headers: { authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(20_000),
  });
  if (!answer.ok) throw new Refused(502, "zoom");
  return (await answer.json()).token;
}

const writeEvent = (team, id, type, requestId) =>
  tables.send(
    new PutCommand({
      TableName: process.env.EVENTS_TABLE,
      Item: {
        credential_id: id,
        event_id: randomUUID(),
        team_id: team,
        kind: "mint",
        outcome: "succeeded",
        token_type: type,
        request_id: requestId,
        at: new Date().toISOString(),
        purge_at: Math.floor(Date.now() / 1000) + RETENTION_SECONDS,
      },
      ConditionExpression: "attribute_not_exists(event_id)",
    }),
  );

export const handler = of("POST /v2/zoom-tokens", async (event) => {
  const key = apiKey(event);
  const { credential_id: id, type } = JSON.parse(event.body ?? "{}");
  if (typeof id !== "string" || !["onbehalf", "zak"].includes(type)) throw new Refused(400, "validation");
  await keyAndCredential(key, id, "mint");

  const [hits, settings, secret] = await Promise.all([
    count(key.team, key.record.slice(4, 16)),
    read(process.env.KEYS_TABLE, { team_id: key.team, record: "settings" }),
    secretOf(id),
  ]);
  if (settings?.suspended_at) throw new Refused(401, "unauthorized");
  if (hits > (settings?.mint_rate ?? 50)) throw new Refused(429, "rate_limited");

  const access = await accessToken(key.team, id, secret);
  const expires_at = new Date(Date.now() + LIFETIME_SECONDS * 1000).toISOString();
  const requestId = event.requestContext?.requestId;
  const [token] = await Promise.all([askZoom(type, access), writeEvent(key.team, id, type, requestId)]);
  return { type, token, expires_at, credential_id: id };
});
