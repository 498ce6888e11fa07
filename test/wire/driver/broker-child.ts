/**
 * A broker host as a process of its own, for tests that measure or kill it: `node broker-child.mjs <folder>`. It is
 * spoken to over the Unix socket in the folder, as the management server would.
 */
import path from 'node:path'
import { serveHost } from '../../../src/engines/embedded/link.ts'
import { realWorld } from '../../../src/world/real.ts'
import { hostOver } from './instance.ts'

const [folder = ''] = process.argv.slice(2)
const report = (error: unknown): void =>
  console.error(error instanceof Error ? (error.stack ?? error.message) : String(error))
process.on('uncaughtException', report)
process.on('unhandledRejection', report)

await serveHost(path.join(folder, 'host.sock'), await hostOver(folder, realWorld(), report), () => {})
console.log('ready')
