import { expect, it } from 'vitest'
import { addressFilter } from './address-filter.ts'

it.each<[readonly string[], string, boolean]>([
  [[], '203.0.113.9', true],
  [['10.0.0.0/8'], '10.255.0.1', true],
  [['10.0.0.0/8'], '11.0.0.1', false],
  [['192.0.2.7'], '192.0.2.7', true],
  [['192.0.2.7'], '192.0.2.8', false],
  // A block written with host bits set means the whole block.
  [['192.168.1.5/24'], '192.168.1.200', true],
  [['192.168.1.5/24'], '192.168.2.5', false],
  [['0.0.0.0/0'], '203.0.113.9', true],
  // How a dual-stack socket shows an IPv4 client.
  [['10.0.0.0/8'], '::ffff:10.1.2.3', true],
  [['10.0.0.0/8'], '::1', false],
  [['10.0.0.0/8', '::1'], '::1', true],
])('%j lets %s in: %s', (allow, address, admitted) => {
  expect(addressFilter(allow)(address)).toBe(admitted)
})
