// The client against the local stack.
import assert from 'node:assert/strict'
import { createHmac, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'

import { type ApiError, type ErrorCode, NotificationError, Vault, verifyNotification } from 'zoom-vault'

import { API, FULL_KEY, MINT_KEY, collected, connected, zoom } from './helpers.js'

const vault = new Vault({ baseUrl: API, apiKey: FULL_KEY })
const APP = { client_id: 'an-app', client_secret: 'its-secret' }

async function fails(call: Promise<unknown>, statusCode: number, code: ErrorCode): Promise<ApiError> {
  let found: ApiError | undefined
  await assert.rejects(call, (error: ApiError) => {
    found = error
    assert.equal(error.name, 'ApiError')
    assert.deepEqual([error.statusCode, error.code], [statusCode, code])
    assert.ok(error.requestId)
    return true
  })
  return found as ApiError
}

test('an unknown key is unauthorized', async () => {
  const stranger = new Vault({ baseUrl: API, apiKey: 'zcv_nobody_knows-this-key' })
  await fails(stranger.get('/v2/zoom-credentials'), 401, 'FST_ERR_UNAUTHORIZED')
})

test('a key that may only mint is forbidden to list', async () => {
  const minter = new Vault({ baseUrl: API, apiKey: MINT_KEY })
  await fails(minter.get('/v2/zoom-credentials'), 403, 'FST_ERR_FORBIDDEN')
})

test('a body that breaks a rule is a validation error that names the field', async () => {
  const error = await fails(vault.post('/v2/zoom-credentials', { body: { ...APP, name: '' } }), 400, 'FST_ERR_VALIDATION')
  assert.match(error.message, /body\/name/)
  assert.equal(error.details, null)
})

test('an unknown credential is not found', async () => {
  const path = { id: randomUUID() }
  const call = vault.get('/v2/zoom-credentials/{id}', { params: { path } })
  await fails(call, 404, 'FST_ERR_ZOOM_CREDENTIAL_NOT_FOUND_BY_ID')
})

test('an app credential has no token of a user', async () => {
  const { credential_id } = await vault.post('/v2/zoom-credentials', { body: { ...APP, name: 'app' } })
  const call = vault.post('/v2/zoom-tokens', { body: { credential_id, type: 'onbehalf' } })
  await fails(call, 400, 'FST_ERR_ZOOM_NOT_A_USER_CREDENTIAL')
})

test('a user who is gone must reconnect, and details says why', async () => {
  const { credential_id } = await connected(vault, 'typescript-gone')
  await zoom('users', { id: 'typescript-gone', account_id: 'clients', deactivated: true })
  const call = vault.post('/v2/zoom-tokens', { body: { credential_id, type: 'onbehalf' } })
  const error = await fails(call, 409, 'FST_ERR_ZOOM_RECONNECT_REQUIRED')
  assert.equal(error.details, 'user_gone')
})

test('a code that Zoom does not know is refused', async () => {
  const body = { name: 'Ada', client_id: 'sandbox-app', client_secret: 'sandbox-secret', authorization_code: 'unknown' }
  const redirect_uri = 'http://localhost:3000/callback'
  const call = vault.post('/v2/zoom-credentials', { body: { ...body, redirect_uri } })
  await fails(call, 400, 'FST_ERR_ZOOM_CODE_EXCHANGE_FAILED')
})

test('two creates with one idempotency key make one credential', async () => {
  const params = { header: { 'Idempotency-Key': randomUUID() } }
  const create = (name: string) => vault.request('post', '/v2/zoom-credentials', { params, body: { ...APP, name } })
  const [first, second] = [await create('once'), await create('once')]
  assert.equal(first.data.credential_id, second.data.credential_id)
  assert.equal(second.headers.get('idempotent-replayed'), 'true')
  await fails(create('other'), 422, 'FST_ERR_IDEMPOTENCY_KEY_REUSED')
})

test('two creates without a key make two credentials', async () => {
  const create = () => vault.post('/v2/zoom-credentials', { body: { ...APP, name: 'twice' } })
  assert.notEqual((await create()).credential_id, (await create()).credential_id)
})

test('a check and a restore work without a body', async () => {
  const { credential_id } = await vault.post('/v2/zoom-credentials', { body: { ...APP, name: 'checked' } })
  const params = { path: { id: credential_id } }
  assert.equal((await vault.post('/v2/zoom-credentials/{id}/check', { params })).credential_id, credential_id)
  await vault.delete('/v2/zoom-credentials/{id}', { params })
  assert.equal((await vault.post('/v2/zoom-credentials/{id}/restore', { params })).credential_id, credential_id)
})

test('an account-level credential mints a zak for a user whom the email names', async () => {
  const account_id = 'typescript-account'
  const app = { client_id: 'typescript-account-app', client_secret: 'its-secret', account_id }
  const zoom_email = 'ada+bots@typescript.example.com'
  await zoom('apps', { ...app, redirect_uris: [], scopes: ['user:read:token:admin'] })
  await zoom('users', { id: 'typescript-of-account', account_id, email: zoom_email })
  const created = await vault.post('/v2/zoom-credentials', { body: { ...app, name: 'account' } })
  assert.deepEqual([created.credential_type, created.zoom_account_id], ['app', account_id])
  const { credential_id } = created
  const mint = (zoom_email: string) =>
    vault.post('/v2/zoom-tokens', { body: { credential_id, type: 'zak', zoom_email } })
  const minted = await mint(zoom_email)
  assert.deepEqual([minted.type, minted.credential_id], ['zak', credential_id])
  assert.ok(minted.token)
  const error = await fails(mint('nobody@typescript.example.com'), 400, 'FST_ERR_ZOOM_REFUSED')
  assert.equal(error.details, 'caller')
})

test('a URL that chooses gives a token of the user whom the call names, until it is revoked', async () => {
  const { zoom_email } = await connected(vault, 'typescript-chosen')
  const body = { types: ['onbehalf' as const], choose: 'from_call' as const, unverified: true, label: 'bots' }
  const { url, url_id } = await vault.post('/v2/token-urls', { body })
  assert.ok((await collected(vault.each('/v2/token-urls'))).some((it) => it.url_id === url_id))

  const call = (email: string | null) => fetch(`${url}?${new URLSearchParams({ zoom_email: email ?? '' })}`)
  const given = await call(zoom_email)
  assert.deepEqual([given.status, given.headers.get('content-type')], [200, 'text/plain'])
  assert.ok(await given.text())
  assert.equal((await call('nobody@example.com')).status, 404)

  await vault.delete('/v2/token-urls/{url_id}', { params: { path: { url_id } } })
  assert.equal((await call(zoom_email)).status, 404)
})

test('a stream is signed as the known values say', async () => {
  const app = { name: 'media', client_id: 'client_id', client_secret: 'client_secret' }
  const { credential_id } = await vault.post('/v2/zoom-credentials', { body: app })
  const stream = { meeting_uuid: '4444AAAiAAAAAiAiAiiAii==', rtms_stream_id: '609340fb2a7946909659956c8aa9250c' }
  const minted = await vault.post('/v2/zoom-tokens', { body: { credential_id, type: 'rtms_signature', ...stream } })
  const token = '7f07ddea845c761409cd8fcc5edf13638faa339f636c2951da8fc7496305d5e7'
  assert.deepEqual({ ...minted }, { type: 'rtms_signature', token, expires_at: null, credential_id })
})

test('a URL with verify answers the vendor with a stored secret, until the secret is deleted', async () => {
  const [old, new_] = ['o', 'n'].map((byte) => Buffer.alloc(32, byte).toString('base64')) as [string, string]
  const params = { path: { vendor: 'recall' as const } }
  const put = (...keys: string[]) =>
    vault.put('/v2/vendors/{vendor}', { params, body: { secrets: keys.map((key) => `whsec_${key}`) } })

  async function call(key: string): Promise<number> {
    const timestamp = String(Math.floor(Date.now() / 1000))
    const signature = createHmac('sha256', Buffer.from(key, 'base64')).update(`m-1.${timestamp}.`).digest('base64')
    const headers = { 'webhook-id': 'm-1', 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` }
    return (await fetch(url, { headers })).status
  }

  const { vendor, secrets } = await put(old, new_)
  assert.deepEqual([vendor, secrets], ['recall', 2])
  const path = { id: (await connected(vault, 'typescript-recall')).credential_id }
  const body = { type: 'onbehalf' as const, verify: 'recall' as const }
  const { url } = await vault.post('/v2/zoom-credentials/{id}/token-urls', { params: { path }, body })
  assert.equal((await fetch(url)).status, 401)
  assert.deepEqual([await call(old), await call(new_)], [200, 200])

  assert.equal((await put(new_)).secrets, 1)
  assert.equal((await vault.get('/v2/vendors/{vendor}', { params })).secrets, 1)
  assert.deepEqual([await call(old), await call(new_)], [401, 200])

  await vault.delete('/v2/vendors/{vendor}', { params })
  assert.equal(await call(new_), 401)
  await fails(vault.get('/v2/vendors/{vendor}', { params }), 404, 'FST_ERR_ZOOM_VENDOR_SECRET_NOT_FOUND')
  await fails(vault.delete('/v2/vendors/{vendor}', { params }), 404, 'FST_ERR_ZOOM_VENDOR_SECRET_NOT_FOUND')
})

test('a list is iterated over its pages, and can go on from a cursor', async () => {
  const list = randomUUID()
  const made: string[] = []
  // More creates than the 20 changes that a team may make in a second: the client waits and goes on.
  for (let number = 0; number < 25; number += 1) {
    const body = { ...APP, name: `page ${number}`, extra: { list } }
    made.unshift((await vault.post('/v2/zoom-credentials', { body })).credential_id)
  }
  const query = { extra: `list:${list}`, limit: 10 }
  const listed = await collected(vault.each('/v2/zoom-credentials', { params: { query } }))
  assert.deepEqual(listed.map((it) => it.credential_id), made)
  const pages = await collected(vault.pages('/v2/zoom-credentials', { params: { query } }))
  assert.deepEqual(pages.map((page) => page.items.length), [10, 10, 5])
  assert.equal(pages[2]?.nextCursor, null)
  const cursor = pages[0]?.nextCursor ?? assert.fail('there is no next page')
  const rest = await collected(vault.each('/v2/zoom-credentials', { params: { query: { ...query, cursor } } }))
  assert.deepEqual(rest.map((it) => it.credential_id), made.slice(10))
})

test('notifications of the vault are genuine, also while the secret is rotated', async (context) => {
  const received: [IncomingHttpHeaders, Buffer][] = []
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await collected(request as AsyncIterable<Buffer>))
    response.writeHead(204).end()
    received.push([request.headers, body])
    server.emit('notified')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.after(() => server.close())
  const body = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, kinds: ['credential.purged' as const] }
  context.after(() => vault.delete('/v2/notification-endpoint'))

  async function notified(): Promise<{ headers: IncomingHttpHeaders; body: Buffer }> {
    const arrival = once(server, 'notified', { signal: AbortSignal.timeout(20_000) })
    await vault.post('/v2/notification-endpoint/test')
    await arrival
    const [headers, body] = received.pop() ?? assert.fail('nothing was received')
    return { headers, body }
  }

  const { secret: first = '' } = await vault.put('/v2/notification-endpoint', { body })
  const call = await notified()
  assert.equal(verifyNotification({ ...call, secrets: first }).type, 'endpoint.test')
  const changed = Buffer.concat([call.body, Buffer.from(' ')])
  assert.throws(() => verifyNotification({ ...call, body: changed, secrets: first }), NotificationError)

  const { secret: second = '' } = await vault.put('/v2/notification-endpoint', { body: { ...body, rotate: true } })
  const during = await notified()
  for (const secrets of [first, second]) assert.equal(verifyNotification({ ...during, secrets }).type, 'endpoint.test')
})
