// What the read and the mint share: the tables, the caller's key, and the answer.

import { createHash } from "node:crypto";

import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { DynamoDBDocumentClient, GetCommand } from "@aws-sdk/lib-dynamodb";

export const tables = DynamoDBDocumentClient.from(new DynamoDBClient({}));

const API_KEY = /^zcv_(.+)_[\w-]{43}[0-9A-Za-z]{6}$/;

export class Refused extends Error {
  constructor(status, code) {
    super(code);
    this.status = status;
  }
}

/** The team that the caller's key names, and the row's sort key. */
export function apiKey(event) {
  const key = event.headers?.["x-meeting-baas-api-key"] ?? "";
  const team = API_KEY.exec(key)?.[1];
  if (!team) throw new Refused(401, "unauthorized");
  return { team, record: `key#${createHash("sha256").update(key).digest("hex")}` };
}

export async function read(table, key) {
  const { Item } = await tables.send(new GetCommand({ TableName: table, Key: key, ConsistentRead: true }));
  return Item;
}

/** Reads the row of the key and the row of the credential at the same time. */
export async function keyAndCredential({ team, record }, id, mayDo) {
  const [key, credential] = await Promise.all([
    read(process.env.KEYS_TABLE, { team_id: team, record }),
    read(process.env.CREDENTIALS_TABLE, { team_id: team, credential_id: id }),
  ]);
  const now = new Date().toISOString();
  if (!key || key.revoked_at || key.suspended_at || (key.expires_at && key.expires_at <= now)) {
    throw new Refused(401, "unauthorized");
  }
  if (!["full", mayDo].includes(key.permission)) throw new Refused(403, "forbidden");
  if (!credential || credential.deleted) throw new Refused(404, "not_found");
  return credential;
}

const json = (status, body) => ({
  statusCode: status,
  headers: { "content-type": "application/json; charset=utf-8", "cache-control": "no-store" },
  body: JSON.stringify(body),
});

/** The handler of Lambda that answers with what `work` returns, and logs one line. */
export const handler = (route, work) => async (event) => {
  const started = performance.now();
  let answer;
  let cause;
  try {
    answer = json(200, { success: true, data: await work(event) });
  } catch (error) {
    cause = String(error);
    const refused = error instanceof Refused;
    answer = json(refused ? error.status : 500, { success: false, code: refused ? error.message : "internal" });
  }
  const { requestId } = event.requestContext ?? {};
  const line = { level: "INFO", request_id: requestId, route, status: answer.statusCode, cause };
  console.log(JSON.stringify({ ...line, latency_ms: Math.round(performance.now() - started) }));
  return answer;
};
