import { simulatePurchases } from './purchases.ts'
import { worldsOf } from './seeds.ts'

worldsOf({
  file: 'purchases.test.ts',
  name: 'retention and looking at messages through kills and power cuts',
  worlds: 160,
  steps: 60,
  simulate: simulatePurchases,
  atLeast: { promised: 50, found: 100, acknowledged: 1, crashes: 1, replaysCompared: 1 },
})
