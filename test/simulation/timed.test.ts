import { worldsOf } from './seeds.ts'
import { simulateTimed } from './timed.ts'

worldsOf({
  file: 'timed.test.ts',
  name: 'timed messages through kills, power cuts, full disks and clocks that are set',
  worlds: 240,
  steps: 80,
  simulate: simulateTimed,
  atLeast: { waited: 40, recalled: 2, refusedAsLate: 1, crashes: 2, replaysCompared: 2, moved: 2 },
})
