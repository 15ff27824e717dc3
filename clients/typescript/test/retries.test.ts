// Which calls the client repeats, and how it reads answers, against a server that fails on purpose.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

import { ApiError, NoAnswerError } from 'zoom-vault'

import { CREATED, type Fake, failure, type Replies, withFake } from './helpers.js'

const TOO_MANY = failure(429, 'FST_ERR_TOO_MANY_REQUESTS', { 'retry-after': '1' })
const UNAVAILABLE = failure(503, 'FST_ERR_UNAVAILABLE', { 'retry-after': '0' }, { details: 'storage_silent' })
const RUNNING = failure(409, 'FST_ERR_CONFLICT', { 'retry-after': '0' })

const create = (server: Fake) =>
  server.vault().post('/v2/zoom-credentials', { body: { name: 'Ada', client_id: 'a', client_secret: 'b' } })
const createUrl = (server: Fake) =>
  server.vault().post('/v2/zoom-credentials/{id}/token-urls', { params: { path: { id: '1' } }, body: { type: 'zak' } })
const keys = (server: Fake) => new Set(server.requests.map((it) => it.headers['idempotency-key']))

test('every call waits for retry-after and is repeated after a 429', () =>
  withFake([TOO_MANY, CREATED], async (server) => {
    const began = performance.now()
    await createUrl(server)
    // Timers may end a millisecond early.
    assert.ok(performance.now() - began >= 990)
    assert.equal(server.requests.length, 2)
  }))

test('a create is repeated with the same idempotency key', () =>
  withFake([UNAVAILABLE, 'drop', RUNNING, CREATED, CREATED], async (server) => {
    await create(server)
    assert.deepEqual([server.requests.length, keys(server).size], [4, 1])
    assert.match(String([...keys(server)][0]), /^[0-9a-f-]{36}$/)
    await create(server)
    assert.equal(keys(server).size, 2)
  }))

test('a call that would make a second thing is not repeated', async () => {
  for (const reply of [UNAVAILABLE, RUNNING, 'drop'] as const) {
    await withFake([reply, CREATED], async (server) => {
      await assert.rejects(createUrl(server), reply === 'drop' ? NoAnswerError : ApiError)
      assert.equal(server.requests.length, 1)
      assert.deepEqual([...keys(server)], [undefined])
    })
  }
})

test('a mint is repeated if a refresh is running', () =>
  withFake([UNAVAILABLE, { status: 200, body: { success: true, data: { token: 't' } } }], async (server) => {
    const minted = await server.vault().post('/v2/zoom-tokens', { body: { credential_id: '1', type: 'zak' } })
    assert.equal(minted.token, 't')
  }))

test('a failure without retry-after is not repeated', async () => {
  const failures = [[503, 'FST_ERR_UNAVAILABLE'], [429, 'FST_ERR_TOO_MANY_REQUESTS'], [500, 'FST_ERR_INTERNAL']] as const
  for (const [status, code] of failures) {
    await withFake([failure(status, code), CREATED], async (server) => {
      await assert.rejects(server.vault().get('/v2/overview'), { code })
      assert.equal(server.requests.length, 1)
    })
  }
})

test('a wait that is too long fails at once and says how long', () =>
  withFake([failure(429, 'FST_ERR_TOO_MANY_REQUESTS', { 'retry-after': '31' }), CREATED], async (server) => {
    await assert.rejects(create(server), { retryAfter: 31 })
    assert.equal(server.requests.length, 1)
  }))

test('the client gives up after three retries', () =>
  withFake(Array(5).fill(UNAVAILABLE) as Replies, async (server) => {
    await assert.rejects(create(server), { code: 'FST_ERR_UNAVAILABLE', details: 'storage_silent' })
    assert.equal(server.requests.length, 4)
  }))

test('a silent vault is a time-out, and a caller can give up earlier', () =>
  withFake([{ ...CREATED, delay: 5000 }, { ...CREATED, delay: 5000 }], async (server) => {
    const vault = server.vault({ timeout: 200, maxRetries: 0 })
    await assert.rejects(vault.get('/v2/overview'), { name: 'NoAnswerError', reason: 'TIMEOUT' })
    const signal = AbortSignal.timeout(50)
    await assert.rejects(server.vault().get('/v2/overview', { signal }), { name: 'TimeoutError' })
    assert.equal(server.requests.length, 2)
  }))

test('a vault that is not there is named by the system', async () => {
  let url = ''
  await withFake([], async (server) => void (url = server.url))
  const { Vault } = await import('zoom-vault')
  const vault = new Vault({ baseUrl: url, apiKey: 'zcv_a_b', maxRetries: 0 })
  await assert.rejects(vault.get('/v2/overview'), { name: 'NoAnswerError', reason: 'ECONNREFUSED' })
})

test('a redirect is not followed', () =>
  withFake([], async (other) => {
    await withFake([{ status: 307, body: '', headers: { location: `${other.url}/v2/overview` } }], async (server) => {
      await assert.rejects(server.vault().get('/v2/overview'), { name: 'ApiError', statusCode: 307, code: null })
      assert.deepEqual(other.requests, [])
    })
  }))

test('each code of the document is in an error with its fields', async () => {
  const document = JSON.parse(readFileSync(process.env['OPENAPI'] ?? '', 'utf8'))
  const codes: string[] = document.components.schemas.ErrorBody.properties.code.enum
  assert.ok(codes.length > 25)
  for (const code of [...codes, 'FST_ERR_OF_TOMORROW']) {
    await withFake([failure(418, code, { 'x-request-id': 'r-1' }, { details: 'why' })], async (server) => {
      const expected = { name: 'ApiError', code, statusCode: 418, details: 'why', requestId: 'r-1', message: `why: ${code}` }
      await assert.rejects(server.vault().get('/v2/overview'), expected)
    })
  }
})

test('an answer of a proxy is an ApiError without a code', async () => {
  for (const [status, body] of [[502, '<html>Bad gateway'], [200, '<html>Welcome'], [200, '{"success": true'], [200, '']]) {
    await withFake([{ status: Number(status), body }], async (server) => {
      await assert.rejects(server.vault().get('/v2/overview'), (error: ApiError) => {
        assert.deepEqual([error.name, error.statusCode, error.code], ['ApiError', status, null])
        assert.doesNotMatch(String(error), /html/)
        return true
      })
    })
  }
})

test('an id cannot name another path', () =>
  withFake([CREATED], async (server) => {
    const get = (id: string) => server.vault().get('/v2/zoom-credentials/{id}', { params: { path: { id } } })
    for (const wrong of ['', '.', '..']) await assert.rejects(get(wrong), /id must not be/)
    await get('a/../b?c#d')
    assert.deepEqual(server.requests.map((it) => it.path), ['/v2/zoom-credentials/a%2F..%2Fb%3Fc%23d'])
  }))
