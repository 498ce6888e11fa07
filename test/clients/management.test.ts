/** Alibaba's SDKs of the management API for Python and Java, unmodified, with each signature they know. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { type TestHome, type TestServer, temporaryHome } from '../support/server.ts'
import type { Language } from './toolchains.ts'

const execute = promisify(execFile)
const limitMs = 120_000

let home: TestHome
let server: TestServer
beforeAll(async () => {
  home = await temporaryHome()
  server = await home.start()
})
afterAll(() => home.close())

const languages: readonly Language[] = ['Python', 'Java']
const signatures = ['ACS3-HMAC-SHA256', 'ACS3-HMAC-SM3', 'v2']

for (const language of languages) {
  const toolchain = inject('toolchains')[language]
  const title = toolchain.missing === null ? language : `${language} (skipped: ${toolchain.missing})`
  describe.skipIf(toolchain.missing !== null)(title, () => {
    it.each(signatures)('creates, lists, changes, tags and deletes, signed with %s', async (signature) => {
      if (toolchain.missing !== null || toolchain.manage === null) throw new Error('There is no such program.')
      const [command, ...args] = toolchain.manage
      const { stdout } = await execute(command, [...args, signature], {
        timeout: limitMs,
        env: {
          ...process.env,
          MANAGE_ENDPOINT: new URL(server.ready.apiUrl).host,
          MANAGE_KEY_ID: server.ready.accessKeyId,
          MANAGE_KEY_SECRET: server.ready.accessKeySecret,
        },
      })
      expect(JSON.parse(stdout.trim().split('\n').at(-1)!)).toEqual({
        topic: `of ${language.toLowerCase()}`,
        retries: 5,
        listed: ['renamed'],
        tags: ['team=a b&c/ü'],
        refusal: 'Topic.Existed',
        gone: 'Instance.NotFound',
      })
    })
  })
}
