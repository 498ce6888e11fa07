import { simulateBroker } from './broker.ts'
import { worldsOf } from './seeds.ts'

worldsOf({
  file: 'broker.test.ts',
  name: 'a broker through kills, power cuts and careless clients',
  worlds: 300,
  steps: 120,
  simulate: simulateBroker,
  atLeast: { deliveries: 20, acknowledged: 10, deadLetters: 1, crashes: 2, replaysCompared: 1, trimmed: 0.5 },
})
