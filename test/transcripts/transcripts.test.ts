/**
 * The broker's rules as transcripts: each `.txt` here is a conversation with one instance, with what it writes to its log
 * and what it answers. They are read in review like code. `UPDATE_TRANSCRIPTS=1 npx vitest run test/transcripts` writes
 * them anew after a change that is meant.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { Conversation } from './conversation.ts'

const folder = path.dirname(new URL(import.meta.url).pathname)
const SEPARATOR = '----'

describe('transcripts', () => {
  it.each(readdirSync(folder).filter((name) => name.endsWith('.txt')))('%s', async (name) => {
    const file = path.join(folder, name)
    const text = readFileSync(file, 'utf8')
    const found = await play(text)
    if (process.env['UPDATE_TRANSCRIPTS'] === '1') writeFileSync(file, found)
    else expect(found).toBe(text)
  })
})

/** The transcript as it is now: comments stay, and after each line of input stands what came of it. */
async function play(text: string): Promise<string> {
  const conversation = await Conversation.begin()
  const written: string[] = []
  try {
    for (const block of text.trimEnd().split(/\n{2,}/)) {
      const lines = block.split('\n')
      const end = lines.indexOf(SEPARATOR)
      const said = end < 0 ? lines : lines.slice(0, end)
      const input = said.filter((line) => !line.startsWith('#'))
      if (input.length === 0) {
        written.push(said.join('\n'))
        continue
      }
      const output: string[] = []
      for (const line of input) output.push(...(await conversation.say(line)))
      written.push([...said, SEPARATOR, ...(output.length > 0 ? output : ['nothing happens'])].join('\n'))
    }
  } finally {
    await conversation.end()
  }
  return `${written.join('\n\n')}\n`
}
