/**
 * The key and certificate TLS connections are answered with: `tls.key` and `tls.crt` of a folder, made at the first
 * start and read ever after. `tls.crt` may be handed to clients that verify; both may be replaced by an operator's own.
 *
 * Nothing an operator put there is ever overwritten. A certificate of our own making is renewed, for the same key, when
 * it has expired or does not name a host it should.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { link, mkdir, mkdtemp, open, readFile, rename, rm } from 'node:fs/promises'
import { isIP } from 'node:net'
import path from 'node:path'
import { realClock } from '../world/real.ts'
import type { Clock } from '../world/world.ts'

export interface CertificateOptions {
  readonly directory: string
  /** Names and addresses clients dial, besides localhost, 127.0.0.1 and ::1. */
  readonly hosts: readonly string[]
  readonly clock?: Clock
}

/** PEM texts. */
export interface LoadedCertificate {
  readonly key: string
  readonly cert: string
}

const commonName = 'Gantry self-signed'
const localHosts = ['localhost', '127.0.0.1', '::1']
const validMs = 3650 * 24 * 3_600_000

/** Rejects with a sentence that names the file when the two do not belong together or cannot be read. */
export async function loadCertificate(options: CertificateOptions): Promise<LoadedCertificate> {
  const { directory, clock = realClock } = options
  const keyFile = path.join(directory, 'tls.key')
  const certificateFile = path.join(directory, 'tls.crt')
  const hosts = [...new Set([...localHosts, ...options.hosts])]
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const found = await readIfThere(certificateFile)
  let key = await readIfThere(keyFile)
  if (found !== null && key === null) {
    throw new Error(
      `${certificateFile} is there without ${keyFile}: put the key back, or remove the certificate to have both made anew.`,
    )
  }
  key ??= await createKey(keyFile)
  if (found !== null && fits(found, key, certificateFile, keyFile, hosts, clock.now())) return { key, cert: found }
  const cert = await makeCertificate(key, hosts, clock.now())
  await replaceFile(certificateFile, cert, 0o644)
  return { key, cert }
}

/** True when the certificate can be used as it is; false when it is ours and should be renewed. */
function fits(
  cert: string,
  key: string,
  certificateFile: string,
  keyFile: string,
  hosts: string[],
  at: number,
): boolean {
  let certificate: X509Certificate
  try {
    certificate = new X509Certificate(cert)
  } catch (cause) {
    throw new Error(`${certificateFile} is not a PEM certificate: remove it to have one made.`, { cause })
  }
  if (!certificate.checkPrivateKey(readKey(key, keyFile))) {
    throw new Error(
      `${certificateFile} does not belong to ${keyFile}: replace one, or remove the certificate to have one made.`,
    )
  }
  if (!certificate.subject.includes(commonName)) return true
  const named = hosts.every((host) => (isIP(host) ? certificate.checkIP(host) : certificate.checkHost(host)))
  return named && Date.parse(certificate.validTo) > at
}

function readKey(key: string, keyFile: string) {
  try {
    return createPrivateKey(key)
  } catch (cause) {
    throw new Error(`${keyFile} is not an unencrypted PEM key.`, { cause })
  }
}

/** Makes the key and puts it in place whole; when another process was first, takes that one's. */
async function createKey(keyFile: string): Promise<string> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  return await withTemporary(keyFile, key, 0o600, async (temporary) => {
    try {
      await link(temporary, keyFile)
      return key
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      return await readFile(keyFile, 'utf8')
    }
  })
}

async function makeCertificate(key: string, hosts: string[], at: number): Promise<string> {
  // Loading the package takes longer than all else here, and it is needed once in ten years.
  const { generate } = await import('selfsigned')
  const privateKey = createPrivateKey(key)
  const altNames = hosts.map((host) =>
    isIP(host) ? { type: 7 as const, ip: host } : { type: 2 as const, value: host },
  )
  const made = await generate([{ name: 'commonName', value: commonName }], {
    notBeforeDate: new Date(at - 24 * 3_600_000),
    notAfterDate: new Date(at + validMs),
    keyType: 'ec',
    algorithm: 'sha256',
    keyPair: {
      privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
      publicKey: createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }) as string,
    },
    extensions: [
      // Not an authority: clients built on rustls refuse one as a server's certificate.
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      { name: 'subjectAltName', altNames },
    ],
  })
  return made.cert
}

async function readIfThere(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

async function replaceFile(file: string, text: string, mode: number): Promise<void> {
  await withTemporary(file, text, mode, (temporary) => rename(temporary, file))
}

/** Writes `text` durably beside `file`, for `use` to put it in place in one step. */
async function withTemporary<T>(
  file: string,
  text: string,
  mode: number,
  use: (path: string) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(path.join(path.dirname(file), '.new-'))
  try {
    const temporary = path.join(folder, path.basename(file))
    const handle = await open(temporary, 'wx', mode)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
    return await use(temporary)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
