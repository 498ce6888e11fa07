/** Broker hosts in this process, each reached over its socket as the server reaches it. */
import { mkdir } from 'node:fs/promises'
import type { Server } from 'node:net'
import path from 'node:path'
import { BrokerHost } from '../../src/engines/embedded/host.ts'
import type { HostApi } from '../../src/engines/embedded/host-api.ts'
import { connectToHost, serveHost } from '../../src/engines/embedded/link.ts'
import { hostPaths, processPaths } from '../../src/engines/embedded/paths.ts'
import { lockFolder } from '../../src/engines/processes/folder-lock.ts'
import type { Launcher } from '../../src/engines/processes/supervisor.ts'
import { loadCertificate } from '../../src/gateway/certificate.ts'
import { realWorld } from '../../src/world/real.ts'

export function hostsInThisProcess(home: string): Launcher<HostApi> {
  const world = realWorld()
  const places = hostPaths(home)
  return {
    names: async () => [],
    find: async () => null,
    async start(name) {
      const { socket } = processPaths(home, name)
      await mkdir(places.sockets, { recursive: true })
      let server: Server | null = null
      const links = new Set<() => void>()
      const host = new BrokerHost({
        world,
        directory: places.instances,
        self: { version: 'test', home, name },
        lingerMinutes: 0,
        lock: (instanceId) => lockFolder(path.join(places.locks, instanceId), instanceId, { socket }),
        tls: await loadCertificate({ directory: places.certificates, hosts: [] }),
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
      const ended = new Promise<{ how: string; said: string[] }>((resolve) => {
        link.onClose(() => resolve({ how: 'when it was told to', said: [] }))
      })
      return {
        host: link.host,
        greeting: await link.host.hello(),
        // Its thread would be one of this process.
        pulse: () => Promise.reject(new Error('There is no thread.')),
        ended,
        // It would be this process.
        kill: () => Promise.reject(new Error('A host in this process is not killed.')),
        disconnect: link.close,
      }
    },
    forget: async () => {},
  }
}
