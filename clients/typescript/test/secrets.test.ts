// No key and no token is in what a program prints by accident.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { format, inspect } from 'node:util'

import { Vault, VaultError } from 'zoom-vault'

import { failure, SECRET_KEY, withFake } from './helpers.js'

/** What a program could show of a value. */
function shown(value: unknown): string {
  const parts = [inspect(value, { depth: 10, showHidden: true, getters: true }), format('%o %O %s', value, value, value)]
  for (let it = value; it instanceof Error; it = it.cause) parts.push(JSON.stringify(it), String(it.stack))
  return [...parts, JSON.stringify(value), String(value)].join(' ')
}

function create(options: { baseUrl: string; apiKey?: string; allowHttp?: boolean }): Vault {
  return new Vault({ apiKey: SECRET_KEY, ...options })
}

test('the key is nowhere in a client that is shown', () => {
  assert.doesNotMatch(shown(create({ baseUrl: 'https://vault.example.com' })), /this-is-the-key/)
})

test('the key and the body are in no error', async () => {
  const replies = [
    'drop' as const,
    failure(401, 'FST_ERR_UNAUTHORIZED'),
    { status: 200, body: '{"success": true, "data": {"token": t-secret' },
  ]
  for (const reply of replies) {
    await withFake([reply], async (server) => {
      const body = { name: 'Ada', client_id: 'a', client_secret: 'the-client-secret' }
      await assert.rejects(server.vault({ maxRetries: 0 }).post('/v2/zoom-credentials', { body }), (error) => {
        assert.ok(error instanceof VaultError)
        assert.doesNotMatch(shown(error), /this-is-the-key|the-client-secret|t-secret/)
        return true
      })
    })
  }
})

test('a key with a line feed is refused without being shown', () => {
  assert.throws(
    () => create({ baseUrl: 'https://vault.example.com', apiKey: `${SECRET_KEY}\n` }),
    (error) => !shown(error).includes('this-is-the-key'),
  )
})

// Seen to fail: the client sent the key `undefined`.
test('a key that is not set is refused', () => {
  const apiKey = undefined as unknown as string
  assert.throws(() => new Vault({ baseUrl: 'https://vault.example.com', apiKey }), /apiKey is empty/)
})

test('the key goes to https and this machine only', () => {
  for (const baseUrl of ['http://vault.example.com', 'ftp://localhost', 'https://user:word@vault.example.com', 'localhost:80', '']) {
    assert.throws(
      () => create({ baseUrl }),
      (error) => error instanceof TypeError && !shown(error.message).includes('word@'),
    )
  }
  for (const baseUrl of ['http://localhost:3000', 'http://127.0.0.1:3000', 'http://[::1]:3000', 'https://vault.example.com/live']) {
    create({ baseUrl })
  }
  create({ baseUrl: 'http://vault:3000', allowHttp: true })
})

test('a token is hidden from console.log and readable for programs', async () => {
  const data = { type: 'zak', token: 't-secret', inner: [{ url: 'u-secret', secret: null }] }
  await withFake([{ status: 200, body: { success: true, data } }], async (server) => {
    const token = await server.vault().post('/v2/zoom-tokens', { body: { credential_id: '1', type: 'zak' } })
    assert.equal(token.token, 't-secret')
    assert.deepEqual(JSON.parse(JSON.stringify(token)), data)
    assert.deepEqual({ ...token }, data)
    for (const text of [inspect(token, { depth: 5 }), format('%O', token), format(token)]) {
      assert.doesNotMatch(text, /-secret/)
      assert.match(text, /token: '\[hidden\]'/)
    }
  })
})
