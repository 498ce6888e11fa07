import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

// `unit` shares one process per thread (twelve times faster); whatever starts servers, processes or
// files of its own belongs in `boundary`, where each file has its own process.
export default defineConfig({
  test: {
    // Many files wait for processes and clients: on two cores two of them take two thirds of the time of one.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    reporters: ['default', './test/support/tally.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts'],
          exclude: ['src/**/*.boundary.test.ts'],
          setupFiles: ['./test/support/seed.ts'],
          pool: 'threads',
          isolate: false,
          // None waits for anything; the longest compute for two seconds, and for more beside other work.
          testTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'boundary',
          include: ['src/**/*.boundary.test.ts', 'test/**/*.test.ts'],
          // Clients of other languages: `npm run test:clients`.
          exclude: ['test/clients/**'],
          setupFiles: ['./test/support/seed.ts'],
          pool: 'forks',
          // Only what hangs comes near them, also where other work takes nine tenths of the machine.
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
})
