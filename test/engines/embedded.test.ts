/** The engine contract over the embedded engine: real hosts on real ports and files, called over their Unix sockets. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { EmbeddedEngine } from '../../src/engines/embedded/engine.ts'
import type { Engine } from '../../src/engines/engine.ts'
import { engineContract } from '../../src/engines/suite.ts'
import { realWorld } from '../../src/world/real.ts'
import { DriverClient } from '../wire/driver/client.ts'
import { hostsInThisProcess } from './hosts.ts'

engineContract('embedded', async () => {
  const home = await mkdtemp(path.join(tmpdir(), 'gantry-contract-'))
  let engine = await start(home)
  return {
    engine,
    async freePort() {
      const taken = await occupy(0)
      await taken.free()
      return taken.port
    },
    async occupyPort(port) {
      return (await occupy(port)).free
    },
    async reopen() {
      await engine.stop()
      engine = await start(home)
      return engine
    },
    async leaveHalfMade(instanceId) {
      await mkdir(path.join(home, 'instances', instanceId), { recursive: true })
    },
    async send(port, topicName, count) {
      const client = await DriverClient.dial('java', { port, tls: false, clock: realWorld().clock, credentials: null })
      try {
        for (let sent = 0; sent < count; sent++) {
          const { status } = await client.send(client.message(topicName, `${sent}`))
          if (status?.code !== 20000) throw new Error(`The message was refused: ${status?.message}`)
        }
      } finally {
        client.close()
      }
    },
    async dispose() {
      await engine.stop()
      await rm(home, { recursive: true, force: true })
    },
  }
})

/** Two processes, so that the contract holds over several. */
async function start(home: string): Promise<Engine> {
  const { clock, disk } = realWorld()
  const engine = new EmbeddedEngine({
    clock,
    disk,
    home,
    launcher: hostsInThisProcess(home),
    pool: 2,
    hangSeconds: 10,
    storageKey: () => new Uint8Array(32),
    report() {},
  })
  await engine.start()
  return engine
}

async function occupy(port: number): Promise<{ port: number; free: () => Promise<void> }> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ port, host: '127.0.0.1', exclusive: true }, resolve)
  })
  const { port: bound } = server.address() as { port: number }
  return {
    port: bound,
    free: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
      }),
  }
}
