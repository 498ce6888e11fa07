import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
// @ts-expect-error A script without declarations.
import { generateProto } from '../../scripts/generate-proto.mjs'

const folder = new URL('../../src/grpc/gen/', import.meta.url)

describe('src/grpc/gen', () => {
  it('is what proto/ gives', async () => {
    const files = (await generateProto()) as Record<string, string>
    expect(readdirSync(folder).sort()).toEqual(Object.keys(files).sort())
    for (const [name, content] of Object.entries(files)) {
      // Compared as a flag: a difference of 400 KB is not worth printing.
      expect(
        readFileSync(new URL(name, folder), 'utf8') === content,
        `${name} is stale: run node scripts/generate-proto.mjs`,
      ).toBe(true)
    }
  })
})
