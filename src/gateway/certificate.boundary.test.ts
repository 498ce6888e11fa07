import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SimulatedClock } from '../world/simulated.ts'
import { loadCertificate } from './certificate.ts'

const day = 24 * 3_600_000

describe('loadCertificate', () => {
  let root: string
  let directory: string
  const clock = new SimulatedClock()
  const load = (hosts: string[] = []) => loadCertificate({ directory, hosts, clock })
  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'gantry-certificate-'))
    directory = path.join(root, 'deep', 'tls')
  })
  afterEach(() => rmSync(root, { recursive: true }))

  it('makes a certificate for ten years that names this machine and the given hosts', async () => {
    const { key, cert } = await load(['broker.example', '10.1.2.3'])
    const certificate = new X509Certificate(cert)
    expect(certificate.checkHost('localhost') && certificate.checkHost('broker.example')).toBeTruthy()
    for (const ip of ['127.0.0.1', '::1', '10.1.2.3']) expect(certificate.checkIP(ip)).toBe(ip)
    expect(certificate.checkHost('elsewhere.example')).toBeUndefined()
    expect(certificate.ca).toBe(false)
    const years = (Date.parse(certificate.validTo) - clock.now()) / (365 * day)
    expect(Math.round(years)).toBe(10)
    expect(readFileSync(path.join(directory, 'tls.key'), 'utf8')).toBe(key)
    expect(statSync(path.join(directory, 'tls.key')).mode & 0o777).toBe(0o600)
  })

  it('reads what is there', async () => {
    const first = await load()
    expect(await load()).toEqual(first)
  })

  it('gives processes that start together the same key', async () => {
    const all = await Promise.all([load(), load(), load()])
    expect(new Set(all.map(({ key }) => key)).size).toBe(1)
  })

  it('renews its own certificate for the same key: for a new host, after it has expired, and when it was removed', async () => {
    const first = await load()
    const named = await load(['new.example'])
    expect(named.key).toBe(first.key)
    expect(new X509Certificate(named.cert).checkHost('new.example')).toBe('new.example')
    const later = new SimulatedClock(clock.now() + 3700 * day)
    const renewed = await loadCertificate({ directory, hosts: [], clock: later })
    expect(renewed.key).toBe(first.key)
    expect(Date.parse(new X509Certificate(renewed.cert).validTo)).toBeGreaterThan(later.now())
    unlinkSync(path.join(directory, 'tls.crt'))
    expect((await load()).key).toBe(first.key)
  })

  it.each([
    [
      'a certificate without its key',
      () => unlinkSync(path.join(directory, 'tls.key')),
      /tls\.crt is there without .*tls\.key/,
    ],
    [
      'a certificate that is none',
      () => writeFileSync(path.join(directory, 'tls.crt'), 'nonsense'),
      /tls\.crt is not a PEM certificate/,
    ],
    [
      'a key that is none',
      () => writeFileSync(path.join(directory, 'tls.key'), 'nonsense'),
      /tls\.key is not an unencrypted PEM key/,
    ],
  ])('refuses %s with a sentence, and changes nothing', async (_name, spoil, sentence) => {
    await load()
    spoil()
    await expect(load()).rejects.toThrow(sentence)
    await expect(load(['new.example'])).rejects.toThrow(sentence)
  })

  it('refuses a certificate of another key', async () => {
    const { cert } = await load()
    rmSync(directory, { recursive: true })
    await load()
    writeFileSync(path.join(directory, 'tls.crt'), cert)
    await expect(load()).rejects.toThrow(/does not belong to/)
  })
})
