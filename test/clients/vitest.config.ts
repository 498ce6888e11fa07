import { defineConfig } from 'vitest/config'

/** Official clients of other languages (`npm run test:clients`): each needs its toolchain and its registry, and is skipped without. */
export default defineConfig({
  test: {
    globalSetup: ['test/clients/toolchains.ts'],
    include: ['test/clients/**/*.test.ts'],
    reporters: ['default', './test/support/tally.ts'],
    pool: 'forks',
    maxWorkers: 2,
    // They wait for polls of five seconds and for retries of ten.
    testTimeout: 180_000,
    hookTimeout: 120_000,
  },
})
