/**
 * A program of its own for tests that kill it: takes the home, opens the ledger and writes without
 * pause, printing the number of each change once it is acknowledged. Built by `buildChild`.
 *
 *   lock <home>            prints `held` or `refused <sentence>`, and stays while it holds
 *   write <home> <driver>  prints `ready`, then one number a line
 */
import { writeSync } from 'node:fs'
import { HomeError } from '../../src/ledger/errors.ts'
import { acquireHome } from '../../src/ledger/home.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { openLedger } from '../../src/ledger/open.ts'
import type { SqliteDriverName } from '../../src/ledger/sqlite-binding.ts'
import { aCause, quietLog, testClock, testRandom } from './ledger.ts'

const WRITERS = 8

const [command, home = '', driver] = process.argv.slice(2)
try {
  await acquireHome(home)
  if (command === 'lock') {
    say('held')
    // Held until killed.
    process.stdin.resume()
  } else {
    const ledger = await openLedger({
      home,
      databaseUrl: null,
      world: { clock: testClock, random: testRandom },
      log: quietLog,
      sqliteDriver: driver as SqliteDriverName,
    })
    say('ready')
    await writeForever(ledger)
  }
} catch (error) {
  say(`${error instanceof HomeError ? 'refused' : 'failed'} ${error instanceof Error ? error.message : error}`)
  process.exitCode = 3
}

/** Each change is three rows that belong together: a key, its tag with the same number, and its record. */
async function writeForever(ledger: Ledger): Promise<void> {
  const [last] = await ledger.read
    .selectFrom('used_nonces')
    .select((of) => of.fn.max('expire_time_ms').as('n'))
    .execute()
  let next = Number(last?.n ?? 0) + 1
  const writer = async (): Promise<void> => {
    for (;;) {
      const number = next++
      await ledger.change(aCause, async ({ tx, record }) => {
        await tx
          .insertInto('used_nonces')
          .values({ nonce_key: `n${number}`, expire_time_ms: number })
          .execute()
        await tx
          .insertInto('tags')
          .values({
            region_id: 'r',
            resource_type: 'instance',
            resource_id: `n${number}`,
            tag_key: 'k',
            tag_value: 'v'.repeat(number % 700),
            create_time_ms: number,
          })
          .execute()
        await record(`n${number}`, {})
      })
      say(String(number))
      await new Promise<void>((resolve) => setImmediate(resolve))
    }
  }
  await Promise.all(Array.from({ length: WRITERS }, writer))
}

/** Synchronous, so that what was said is in the pipe when the kill comes. */
function say(line: string): void {
  writeSync(1, `${line}\n`)
}
