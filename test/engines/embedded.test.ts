/** The engine contract over the embedded engine: a real host on real ports and files, called over its Unix socket. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createEmbeddedEngine } from '../../src/engines/embedded/engine.ts'
import { createBrokerHost } from '../../src/engines/embedded/host.ts'
import { connectToHost, serveHost } from '../../src/engines/embedded/link.ts'
import type { Engine } from '../../src/engines/engine.ts'
import { engineContract } from '../../src/engines/suite.ts'
import { loadCertificate } from '../../src/grpc/certificate.ts'
import { realWorld } from '../../src/world/real.ts'

engineContract('embedded', async () => {
  const home = await mkdtemp(path.join(tmpdir(), 'gantry-contract-'))
  const instances = path.join(home, 'instances')
  await mkdir(instances)
  let engine = await start(home, instances)
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
      engine = await start(home, instances)
      return engine
    },
    async leaveHalfMade(instanceId) {
      await mkdir(path.join(instances, instanceId))
    },
    async dispose() {
      await engine.stop()
      await rm(home, { recursive: true, force: true })
    },
  }
})

/** A host in this process, reached the way the server reaches it. */
async function start(home: string, instances: string): Promise<Engine> {
  const world = realWorld()
  const socket = path.join(home, 'broker.sock')
  const engine = createEmbeddedEngine({
    clock: world.clock,
    async connect() {
      let server: Server | null = null
      const links = new Set<() => void>()
      const host = await createBrokerHost({
        world,
        directory: instances,
        version: 'test',
        tls: await loadCertificate({ directory: path.join(home, 'tls'), hosts: [] }),
        report: (error) => {
          throw error
        },
        onShutdown() {
          server?.close()
          for (const close of links) setImmediate(close)
        },
      })
      server = await serveHost(socket, host, () => {})
      const link = await connectToHost(socket, world.clock)
      links.add(link.close)
      return link
    },
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
