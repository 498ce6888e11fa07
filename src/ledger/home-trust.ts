/**
 * Whether a home is this user's alone. What lies in it is obeyed (keys, ledger, sockets, messages) and written to, so
 * a folder that somebody else made, can write to, or filled with symbolic links would let them read passwords, take
 * the place of a file, or have a file elsewhere overwritten. Such a home is refused before anything in it is read.
 *
 * Only looks; never changes what it refuses. Of the files of an instance only the kind is asked, a folder at a time;
 * they are opened without following links as well (world/real-disk.ts).
 */
import { type Dirent, lstatSync, readdirSync, realpathSync, type Stats, statSync } from 'node:fs'
import path from 'node:path'
import { hasCode } from './files.ts'

/** Files and folders that Gantry makes in a home. `gantry.yaml` is its user's and may be a link. */
const ourNames =
  /^(account\.json(\.new)?|format\.json|server\.json|server\.log(\.1)?|secret\.key|space\.reserve(\.new)?|gantry\.db(-wal|-shm|-journal)?|lock\..*|tls|brokers|instances)$/
const ourFolders = ['tls', 'brokers', path.join('brokers', 'locks'), 'instances']

/** A home that was looked at: the folder to use from then on, without links in its path, and why it must not be used, or null. */
export interface LookedAtHome {
  readonly folder: string
  readonly hostile: string | null
}

/**
 * Resolves the home's path once and looks at what it leads to. Whoever goes on with `folder` uses what was looked at: no
 * link that is changed afterwards leads elsewhere.
 */
export function lookAtHome(home: string, uid: number | null = process.getuid?.() ?? null): LookedAtHome {
  const given = path.resolve(home)
  const folder = realOf(given) ?? given
  const hostile = hostileHome(given, uid) ?? (folder === given ? null : hostileHome(folder, uid))
  return { folder, hostile }
}

/**
 * Why the home must not be used, as a sentence that says what to do; null when it is fine or not there yet. `uid` is
 * the user who is to trust it; null where there are no owners (Windows), and then everything is fine.
 */
export function hostileHome(home: string, uid: number | null = process.getuid?.() ?? null): string | null {
  if (uid === null) return null
  const given = look(home)
  if (given === null) return null
  if (given.isSymbolicLink() && !isTrusted(given, uid))
    return `The home ${home} is a symbolic link of another user (${ownerOf(given)}); name the folder itself with --home.`
  const folder = realOf(home)
  // A file in its place, or a link to nothing, is reported by the code that makes the home.
  const stats = folder === null ? null : look(folder)
  if (folder === null || stats === null || !stats.isDirectory()) return null
  const asGiven = path.resolve(home)
  return (
    hostileFolder(folder, stats, uid) ??
    hostileParent(folder, uid) ??
    (asGiven === folder ? null : hostileParent(asGiven, uid)) ??
    hostileEntry(folder, uid)
  )
}

function hostileFolder(folder: string, stats: Stats, uid: number): string | null {
  if (stats.uid !== uid) {
    return `The home ${folder} belongs to another user (${ownerOf(stats)}), who could change what this server keeps there. Give it to this user (chown -R ${uid} ${folder}), or choose another home with --home.`
  }
  if ((stats.mode & othersWrite) !== 0) {
    return `The home ${folder} can be written by other users (mode ${modeOf(stats)}). Take that away with "chmod go-w ${folder}", look whether something in it is not yours, and start again.`
  }
  return null
}

/** Whoever may rename a folder above the home can put another one in its place. */
function hostileParent(folder: string, uid: number): string | null {
  for (let parent = path.dirname(folder); ; parent = path.dirname(parent)) {
    const stats = look(parent)
    if (stats !== null) {
      // A link's mode says nothing; its owner does, below.
      const isShared = (stats.mode & othersWrite) !== 0 && (stats.mode & sticky) === 0 && !stats.isSymbolicLink()
      if (isShared) {
        const everybody = (stats.mode & everybodyWrites) !== 0
        const who = everybody ? 'every user' : `every user of its group (group id ${stats.gid})`
        return `The home ${folder} lies in ${parent}, where ${who} may put another folder in its place (mode ${modeOf(stats)}). Use "chmod ${everybody ? 'go' : 'g'}-w ${parent}", or choose another home with --home.`
      }
      if (!isTrusted(stats, uid) && stats.uid !== look('/')?.uid) {
        return `The home ${folder} lies in ${parent}, whose owner (${ownerOf(stats)}) may put another folder in its place. Choose a home in a folder of this user with --home.`
      }
    }
    if (parent === path.dirname(parent)) return null
  }
}

function hostileEntry(home: string, uid: number): string | null {
  const settings = hostileSettings(path.join(home, 'gantry.yaml'), uid)
  if (settings !== null) return settings
  for (const name of entriesOf(home)) {
    if (!ourNames.test(name)) continue
    const reason = hostileFile(path.join(home, name), uid)
    if (reason !== null) return reason
  }
  const instances = path.join(home, 'instances')
  for (const folder of ourFolders) {
    // The locks of instances and processes are links that are only ever read as texts (engines/processes/folder-lock.ts).
    for (const name of entriesOf(path.join(home, folder))) {
      const reason = hostileFile(path.join(home, folder, name), uid)
      if (reason !== null) return reason
    }
  }
  for (const name of entriesOf(instances)) {
    const reason = linkedEntry(path.join(instances, name))
    if (reason !== null) return reason
  }
  return null
}

/** Gantry makes no links below an instance's folder, of files or of folders. */
function linkedEntry(folder: string): string | null {
  let entries: Dirent[]
  try {
    entries = readdirSync(folder, { withFileTypes: true })
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return null
    throw error
  }
  const link = entries.find((entry) => entry.isSymbolicLink())
  return link === undefined ? null : isLink(path.join(folder, link.name))
}

const isLink = (file: string): string =>
  `${file} is a symbolic link, and Gantry would write to wherever it leads. Put the file or folder itself there (or mount it), and start again.`

/** The settings are their user's to write or to link, and nobody else's. */
function hostileSettings(file: string, uid: number): string | null {
  let stats: Stats
  try {
    stats = statSync(file)
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES')) return null
    throw error
  }
  if (!stats.isFile()) {
    // A folder is told where the settings are read.
    return stats.isDirectory() ? null : `${file} is no file. Remove it, or put the settings there.`
  }
  if (isTrusted(stats, uid)) return null
  return `${file} belongs to another user (${ownerOf(stats)}), whose settings this server would follow. Give it to this user (chown ${uid} ${file}) if it is yours, or remove it.`
}

function hostileFile(file: string, uid: number): string | null {
  const stats = look(file)
  if (stats === null) return null
  if (stats.isSymbolicLink()) return isLink(file)
  if (stats.uid !== uid) {
    return `${file} belongs to another user (${ownerOf(stats)}). Give it to this user (chown ${uid} ${file}) if it is yours, or remove it.`
  }
  if ((stats.mode & othersWrite) !== 0 && !stats.isSocket()) {
    return `${file} can be written by other users (mode ${modeOf(stats)}). Take that away with "chmod go-w ${file}" if its content is yours.`
  }
  return null
}

const othersWrite = 0o022
const everybodyWrites = 0o002
const sticky = 0o1000

/** This user's, or the administrator's, who may do anything anyway. */
const isTrusted = (stats: Stats, uid: number): boolean => stats.uid === uid || stats.uid === 0

const ownerOf = (stats: Stats): string => `user id ${stats.uid}`
const modeOf = (stats: Stats): string => (stats.mode & 0o7777).toString(8).padStart(4, '0')

/** Null when nothing is there. */
function look(file: string): Stats | null {
  try {
    return lstatSync(file, { throwIfNoEntry: false }) ?? null
  } catch (error) {
    if (hasCode(error, 'ENOTDIR', 'ENOENT', 'EACCES')) return null
    throw error
  }
}

function realOf(home: string): string | null {
  try {
    return realpathSync(home)
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES')) return null
    throw error
  }
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return []
    throw error
  }
}
