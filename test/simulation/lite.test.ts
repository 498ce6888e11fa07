import { simulateLite } from './lite.ts'
import { worldsOf } from './seeds.ts'

worldsOf({
  file: 'lite.test.ts',
  name: 'lite topics through kills, power cuts, expiry and clients that come and go',
  worlds: 200,
  steps: 150,
  simulate: simulateLite,
  atLeast: {
    deliveries: 40,
    again: 5,
    acknowledged: 20,
    deadLetters: 0.5,
    suspended: 0.5,
    evictions: 1,
    expired: 0.5,
    crashes: 2,
    answersLost: 0.5,
    replaysCompared: 2,
    reached: 20,
    trimmed: 0.1,
  },
})
