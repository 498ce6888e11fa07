import { SimulatedClock } from '../../world/simulated.ts'
import { engineContract } from '../suite.ts'
import { SimulatedEngine } from './engine.ts'

for (const forgetful of [false, true]) {
  engineContract(forgetful ? 'simulated, forgetful' : 'simulated', async () => {
    const engine = new SimulatedEngine({ clock: new SimulatedClock(), forgetful })
    let port = 9000
    return {
      engine,
      freePort: async () => port++,
      occupyPort: async (taken) => {
        engine.refusePort(taken, true)
        return async () => engine.refusePort(taken, false)
      },
      reopen: async () => {
        engine.restart()
        return engine
      },
      leaveHalfMade: async (instanceId) => engine.leaveHalfMade(instanceId),
      send: null,
      dispose: async () => {},
    }
  })
}
