import { simulateOrder } from './orderly.ts'
import { worldsOf } from './seeds.ts'

worldsOf({
  file: 'orderly.test.ts',
  name: 'orderly groups through kills, power cuts and members that come and go',
  worlds: 300,
  steps: 100,
  simulate: simulateOrder,
  atLeast: {
    deliveries: 20,
    again: 5,
    acknowledged: 10,
    deadLetters: 1,
    crashes: 1,
    answersLost: 1,
    returned: 3,
    replaysCompared: 1,
    trimmed: 0.2,
  },
})
