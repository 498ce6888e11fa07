import { expect, it } from 'vitest'
import { addressFilter } from './address-filter.ts'

const everyone = ['0.0.0.0/0']

it.each<[instance: readonly string[], endpoint: readonly string[], address: string, admitted: boolean]>([
  [everyone, [], '203.0.113.9', true],
  [everyone, [], '2001:db8::1', true],
  [['10.0.0.0/8'], [], '10.255.0.1', true],
  [['10.0.0.0/8'], [], '11.0.0.1', false],
  [['192.0.2.7'], [], '192.0.2.7', true],
  [['192.0.2.7'], [], '192.0.2.8', false],
  // A block written with host bits set means the whole block.
  [['192.168.1.5/24'], [], '192.168.1.200', true],
  [['192.168.1.5/24'], [], '192.168.2.5', false],
  [['10.0.0.0/8', '0.0.0.0/0'], [], '203.0.113.9', true],
  // How a dual-stack socket shows an IPv4 client.
  [['10.0.0.0/8'], [], '::ffff:10.1.2.3', true],
  [['10.0.0.0/8'], [], '::1', false],
  [['10.0.0.0/8', '::1'], [], '::1', true],
  // The instance's list lets nobody in when it is empty, the endpoint's everyone.
  [[], [], '10.0.0.1', false],
  [everyone, ['10.0.0.0/8'], '10.0.0.1', true],
  [everyone, ['10.0.0.0/8'], '11.0.0.1', false],
  [['10.0.0.0/16'], ['10.0.0.0/8'], '10.1.0.1', false],
  [['10.0.0.0/8'], ['10.0.0.0/16'], '10.1.0.1', false],
])('%j and %j let %s in: %s', (instance, endpoint, address, admitted) => {
  expect(addressFilter({ instance, endpoint })(address)).toBe(admitted)
})
