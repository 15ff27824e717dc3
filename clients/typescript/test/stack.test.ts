// The client against the local stack.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
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
