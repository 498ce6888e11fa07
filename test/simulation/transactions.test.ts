import { worldsOf } from './seeds.ts'
import { simulateTransactions } from './transactions.ts'

worldsOf({
  file: 'transactions.test.ts',
  name: 'transactions through kills, power cuts, careless producers and late decisions',
  worlds: 300,
  steps: 80,
  simulate: simulateTransactions,
  atLeast: {
    sent: 30,
    committed: 8,
    rolledBack: 3,
    expired: 0.01,
    late: 2,
    checks: 30,
    crashes: 3,
    delivered: 8,
    replaysCompared: 3,
  },
})
