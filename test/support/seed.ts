/**
 * One seed for every property test: a run can be repeated, and a red test means a changed program.
 *
 * `GANTRY_TEST_SEED=random npm test` looks at new cases each time; a failure prints its seed, and
 * `GANTRY_TEST_SEED=<that number>` shows it again. What a random run finds becomes a row of its own.
 */
import fc from 'fast-check'

const asked = process.env['GANTRY_TEST_SEED'] ?? '20260801'

if (asked !== 'random') fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(asked) })
