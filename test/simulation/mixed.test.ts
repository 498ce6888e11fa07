import { simulateMixed } from './mixed.ts'
import { worldsOf } from './seeds.ts'

worldsOf({
  file: 'mixed.test.ts',
  name: 'everything at once',
  worlds: 450,
  steps: 110,
  simulate: simulateMixed,
  atLeast: { returned: 3 },
})
