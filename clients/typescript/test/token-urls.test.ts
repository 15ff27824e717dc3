// The URLs that choose, against a server that answers as the vault does.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'

import { withFake } from './helpers.js'

const url = 'https://vault.example.com/t/ztu_u-secret'

test('a new URL that chooses is hidden from console.log and readable for programs', async () => {
  const data = { url_id: '1', url, choose: 'from_call' }
  await withFake([{ status: 201, body: { success: true, data } }], async (server) => {
    const body = { types: ['onbehalf' as const], choose: 'from_call' as const, verify: ['recall' as const] }
    const created = await server.vault().post('/v2/token-urls', { body })
    assert.equal(created.url, url)
    assert.doesNotMatch(inspect(created), /u-secret/)
  })
})

test('the list of URLs that choose is iterated over its pages', async () => {
  const page = (url_id: string, headers = {}) => ({ status: 200, headers, body: { success: true, data: [{ url_id }] } })
  await withFake([page('1', { 'x-next-cursor': 'c-2' }), page('2')], async (server) => {
    const listed: string[] = []
    for await (const it of server.vault().each('/v2/token-urls')) listed.push(it.url_id)
    assert.deepEqual(listed, ['1', '2'])
    assert.match(server.requests[1]?.path ?? '', /^\/v2\/token-urls\?.*cursor=c-2/)
  })
})

test('a revocation names the URL', async () => {
  await withFake([{ status: 200, body: { success: true, data: { message: 'revoked' } } }], async (server) => {
    await server.vault().delete('/v2/token-urls/{url_id}', { params: { path: { url_id: '7' } } })
    assert.deepEqual([server.requests[0]?.method, server.requests[0]?.path], ['DELETE', '/v2/token-urls/7'])
  })
})
