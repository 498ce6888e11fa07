/**
 * One broker process at a time over an instance's folder (or under a name), whoever asks it to open
 * one: two writers of a log would destroy it. The kernel's file locks are not to be had from Node, so
 * a lock is a chain of symbolic links `1`, `2`, … in a folder of its own, of which the highest counts.
 * A link is made with its target in one step, and the target says who holds it. Whoever finds the
 * highest held by a process that is gone, or free, makes the next one, which only one can do, and looks
 * again that nothing higher appeared meanwhile. The highest is never removed, only superseded, so two
 * that both find a dead holder cannot both win. A lock ends with its process: kill -9 leaves nothing to
 * clean up.
 */
import { mkdir, readdir, readlink, rm, symlink, unlink } from 'node:fs/promises'
import path from 'node:path'
import { EngineError } from '../../model/refusals.ts'
import { describeSelf, isAlive, type ProcessIdentity } from '../../world/process-identity.ts'

export interface FolderLock {
  /** Lets another have it; fine when called twice. */
  release(): Promise<void>
  /** Releases, and leaves no trace of the lock: what it guarded is gone. */
  forget(): Promise<void>
}

export interface LockHolder {
  /** Socket on which this process listens while it lives, for those who cannot judge its number; or null. */
  readonly socket: string | null
}

/** `what` names the guarded thing in the refusal. Throws `EngineError` `unavailable` while another process has it. */
export async function lockFolder(folder: string, what: string, holder: LockHolder): Promise<FolderLock> {
  self ??= await describeSelf()
  const own: Target = { ...self, socket: holder.socket }
  for (let attempt = 0; attempt < maxTries; attempt++) {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const highest = Math.max(0, ...(await numbersIn(folder)))
    const target = highest === 0 ? free : await targetOf(folder, highest)
    if (target === null) continue
    if (target !== free && (await isAlive(target, self, target.socket))) {
      throw new EngineError('unavailable', `${what} is held by process ${target.pid} on ${target.host}.`)
    }
    const mine = highest + 1
    if (!(await make(folder, mine, JSON.stringify(own)))) continue
    if (Math.max(...(await numbersIn(folder))) !== mine) continue
    await removeBelow(folder, mine)
    return held(folder, mine)
  }
  throw new EngineError('unavailable', `${what} is being taken by several processes at once.`)
}

/** Who holds the lock, living or not; null when nobody does. */
export async function holderOf(folder: string): Promise<ProcessIdentity | null> {
  for (let attempt = 0; attempt < maxTries; attempt++) {
    const highest = Math.max(0, ...(await numbersIn(folder)))
    const target = highest === 0 ? free : await targetOf(folder, highest)
    if (target !== null) return target === free ? null : target
  }
  return null
}

interface Target extends ProcessIdentity {
  readonly socket: string | null
}

const free = 'free'
const maxTries = 50
/** A process does not change; asked once. */
let self: ProcessIdentity | null = null

function held(folder: string, number: number): FolderLock {
  let done: Promise<void> | null = null
  return {
    release() {
      done ??= (async () => {
        if (await make(folder, number + 1, free)) await unlink(path.join(folder, String(number)))
      })()
      return done
    },
    forget() {
      done ??= rm(folder, { recursive: true, force: true })
      return done
    },
  }
}

/** False when the number is taken, or the folder was taken away meanwhile. */
async function make(folder: string, number: number, target: string): Promise<boolean> {
  try {
    await symlink(target, path.join(folder, String(number)))
    return true
  } catch (error) {
    if (['EEXIST', 'ENOENT'].includes(codeOf(error) ?? '')) return false
    throw error
  }
}

async function numbersIn(folder: string): Promise<number[]> {
  try {
    return (await readdir(folder)).filter((name) => /^[1-9]\d{0,14}$/.test(name)).map(Number)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return []
    throw error
  }
}

/** Null when it was superseded meanwhile; what is no lock of ours counts as free. */
async function targetOf(folder: string, number: number): Promise<Target | typeof free | null> {
  let text: string
  try {
    text = await readlink(path.join(folder, String(number)))
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null
    if (codeOf(error) === 'EINVAL') return free
    throw error
  }
  if (text === free) return free
  try {
    const target = JSON.parse(text) as Target
    return Number.isSafeInteger(target?.pid) && typeof target.host === 'string' ? target : free
  } catch {
    return free
  }
}

async function removeBelow(folder: string, number: number): Promise<void> {
  for (const other of await numbersIn(folder)) {
    if (other < number) await rm(path.join(folder, String(other)), { force: true })
  }
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code
