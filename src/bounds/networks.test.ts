import { describe, expect, it } from 'vitest'
import { NetworkShares, networksOf } from './networks.ts'
import { Share } from './shares.ts'

describe('the networks of an address', () => {
  it.each([
    ['192.0.2.7', '192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2', '2001:db8:1/48'],
    ['2001:db8:1:2::6', '2001:db8:1:2', '2001:db8:1/48'],
    ['2001:db8::6', '2001:db8:0:0', '2001:db8:0/48'],
    ['::1', '0:0:0:0', '0:0:0/48'],
    ['::ffff:10.0.0.1', '10.0.0.1', '10.0.0.1'],
    ['fe80::', 'fe80:0:0:0', 'fe80:0:0/48'],
  ])('%s are %s and %s', (address, network, site) => expect(networksOf(address)).toEqual({ network, site }))
})

it('shares of networks are forgotten when they hold nothing', () => {
  const parent = new Share({ most: 10 })
  const networks = new NetworkShares(parent)
  const first = networks.of('2001:db8:1:2::1')
  const holder = new Share({ most: 5, parent: first })
  holder.take(2)
  networks.forget('2001:db8:1:2::1')
  expect(networks.of('2001:db8:1:2::9')).toBe(first)
  holder.close()
  networks.forget('2001:db8:1:2::1')
  expect([parent.held, networks.of('2001:db8:1:2::9') === first]).toEqual([0, false])
})
