// A server that answers as a test tells it, and remembers the requests. And what the tests know about the local stack.
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

import { Vault, type Data, type VaultOptions } from 'zoom-vault'

export const API = variable('API_URL')
export const ZOOM = variable('ZOOM_OAUTH_BASE_URL')
export const FULL_KEY = variable('FULL_KEY')
export const MINT_KEY = variable('MINT_KEY')
export const SECRET_KEY = 'zcv_acme_this-is-the-key'
export const CREATED = { status: 201, body: { success: true, data: { credential_id: '1', name: 'Ada' } } }

function variable(name: string): string {
  const value = process.env[name]
  if (value === undefined) throw new Error(`${name} is not set: run clients/test`)
  return value
}

/** A reply of the fake server. `drop` ends the connection instead. */
export interface Reply {
  status: number
  body: unknown
  headers?: Record<string, string>
  /** Milliseconds to wait before the answer. */
  delay?: number
}
export type Replies = readonly (Reply | 'drop')[]

export interface FakeRequest {
  method: string
  path: string
  headers: IncomingHttpHeaders
}

export class Fake {
  readonly requests: FakeRequest[] = []
  constructor(readonly url: string) {}

  vault(options: Partial<VaultOptions> = {}): Vault {
    return new Vault({ baseUrl: this.url, apiKey: SECRET_KEY, ...options })
  }
}

export function failure(status: number, code: string, headers: Record<string, string> = {}, more = {}): Reply {
  return { status, headers, body: { success: false, error: '…', code, statusCode: status, message: `why: ${code}`, ...more } }
}

/** Runs a test against a server that answers with each reply in turn. */
export async function withFake(replies: Replies, test: (server: Fake) => Promise<void>): Promise<void> {
  const left = [...replies]
  const stopped = new AbortController()
  const server = createServer(async (request, response) => {
    request.resume()
    fake.requests.push({ method: request.method ?? '', path: request.url ?? '', headers: request.headers })
    const reply = left.shift()
    if (reply === undefined || reply === 'drop') return request.destroy()
    await sleep(reply.delay ?? 0, undefined, { signal: stopped.signal }).catch(() => {})
    response.writeHead(reply.status, reply.headers)
    response.end(typeof reply.body === 'string' ? reply.body : JSON.stringify(reply.body))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const fake = new Fake(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  try {
    await test(fake)
  } finally {
    stopped.abort()
    server.close()
    server.closeAllConnections()
  }
}

/** Tells the sandbox something. */
export async function zoom(path: string, body: unknown): Promise<any> {
  const answer = await fetch(`${ZOOM}/sandbox/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (!answer.ok) throw new Error(await answer.text())
  const text = await answer.text()
  return text === '' ? null : JSON.parse(text)
}

/** A credential of a new user of the sandbox. */
export async function connected(vault: Vault, user: string): Promise<Data<'/v2/zoom-credentials', 'post'>> {
  await zoom('users', { id: user, account_id: 'clients', email: `${user}@example.com` })
  const redirect_uri = 'http://localhost:3000/callback'
  const { code } = await zoom('codes', { client_id: 'sandbox-app', redirect_uri, user_id: user })
  const app = { client_id: 'sandbox-app', client_secret: 'sandbox-secret' }
  return vault.post('/v2/zoom-credentials', { body: { name: user, ...app, authorization_code: code, redirect_uri } })
}

/** Everything that an iteration yields. Node 20 has no `Array.fromAsync`. */
export async function collected<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}
