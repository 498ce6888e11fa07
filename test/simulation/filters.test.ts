import { simulateFilters } from './filters.ts'
import { worldsOf } from './seeds.ts'

worldsOf({
  file: 'filters.test.ts',
  name: 'readers that filter, pull and are moved, through kills and power cuts',
  worlds: 200,
  steps: 70,
  simulate: simulateFilters,
  atLeast: { deliveries: 50, pulled: 20, resets: 2, repeated: 0.3, crashes: 2, replaysCompared: 2 },
})
