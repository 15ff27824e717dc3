// Receives and verifies notifications of the vault. Needs Node 18 or later, and no packages.
//
//     WEBHOOK_SECRET=whsec_... PORT=8080 node receiver.mjs
import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'

const key = Buffer.from(process.env.WEBHOOK_SECRET.replace(/^whsec_/, ''), 'base64')
const TOLERANCE_SECONDS = 300
const MAX_BODY_BYTES = 64 * 1024

/** Whether the vault sent this body. `body` is the bytes as they came, not JSON that was parsed and written again. */
export function isGenuine(headers, body, now = Date.now() / 1000) {
  const id = headers['webhook-id']
  const timestamp = headers['webhook-timestamp']
  const signatures = headers['webhook-signature']
  if (!id || !timestamp || !signatures) return false
  if (!(Math.abs(now - Number(timestamp)) <= TOLERANCE_SECONDS)) return false
  const expected = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest()
  return signatures.split(' ').some((signature) => {
    const [version, mac] = signature.split(',')
    const sent = Buffer.from(mac ?? '', 'base64')
    return version === 'v1' && sent.length === expected.length && timingSafeEqual(sent, expected)
  })
}

// The vault may send a notification twice. Keep the ids in your database for a day, not in memory.
const seen = new Set()

const server = createServer((request, response) => {
  const chunks = []
  let length = 0
  request.on('data', (chunk) => {
    length += chunk.length
    if (length > MAX_BODY_BYTES) request.destroy()
    chunks.push(chunk)
  })
  request.on('end', () => {
    const body = Buffer.concat(chunks)
    if (!isGenuine(request.headers, body)) {
      response.writeHead(401).end()
      return
    }
    const id = request.headers['webhook-id']
    if (!seen.has(id)) {
      seen.add(id)
      const notification = JSON.parse(body)
      console.log(`verified ${notification.type} ${notification.data.credential_id ?? ''}`)
    }
    // Answer within 10 seconds. Do slow work afterwards.
    response.writeHead(204).end()
  })
})

server.listen(Number(process.env.PORT ?? 8080), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}/`)
})
