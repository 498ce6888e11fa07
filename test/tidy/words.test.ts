/** One thing has one word, and it is the field's: the table in words.ts. */
import { describe, expect, it } from 'vitest'
import { at, textFiles } from './files.ts'
import { bannedWords } from './words.ts'

const judged = textFiles().filter((file) => !/^(test\/tidy|docs\/reference|proto)\//.test(file.path))

describe('words', () => {
  it.each(bannedWords.map((each) => ({ name: each.word.source, ...each })))(
    '$instead',
    ({ word, instead, because }) => {
      const every = new RegExp(word, 'g')
      const found = judged.flatMap((file) =>
        [...file.text.matchAll(every)].map((match) => `${at(file, match.index)} says ${JSON.stringify(match[0])}`),
      )
      expect(found, `say ${instead}: ${because}`).toEqual([])
    },
  )
})
