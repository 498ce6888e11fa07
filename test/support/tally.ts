/**
 * Ends the run's output with one plain line, `N passed, N failed, N skipped`, for whoever reads logs by machine;
 * before it, how many seeded worlds were lived through (test/simulation/seeds.ts).
 */
import type { Reporter, TestModule } from 'vitest/node'

export default class Tally implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const count = { passed: 0, failed: errors.length, skipped: 0, pending: 0 }
    const lived = { worlds: 0, crashes: 0 }
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        count[test.result().state]++
        const { simulated } = test.meta() as { simulated?: typeof lived }
        lived.worlds += simulated?.worlds ?? 0
        lived.crashes += simulated?.crashes ?? 0
      }
      // A file that could not be loaded has no tests to count.
      if (module.state() === 'failed' && module.errors().length > 0) count.failed++
    }
    process.on('exit', () => {
      if (lived.worlds > 0) console.log(`${lived.worlds} seeded worlds lived through ${lived.crashes} crashes`)
      console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped + count.pending} skipped`)
    })
  }
}
