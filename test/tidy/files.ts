/**
 * The repository's own files as text, for the rules of this folder. Generated and recorded files are left out: nobody
 * writes them by hand.
 */
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..')

const skippedFolders = /^(dist|coverage|\.git|\.tmp)$|(^|\/)(node_modules|gen|generated|fixtures)$/

export interface TextFile {
  /** From the root, with forward slashes. */
  readonly path: string
  readonly text: string
}

const walk = (folder: string): string[] =>
  readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const inside = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (entry.isDirectory()) return skippedFolders.test(inside) ? [] : walk(inside)
    return entry.isFile() ? [inside] : []
  })

const textEndings = /\.(ts|mjs|cjs|js|md|json|yaml|yml|proto|css|html)$|^\.ci\/run$/

/** Every text file below `folders` (the whole repository without any), sorted by path. */
export const textFiles = (...folders: string[]): TextFile[] =>
  (folders.length === 0 ? [''] : folders)
    .flatMap(walk)
    .filter((file) => textEndings.test(file) && file !== 'package-lock.json')
    .sort()
    .map((file) => ({ path: file, text: readFileSync(path.join(root, file), 'utf8') }))

/** Line of a place in a text, from 1. */
export const lineOf = (text: string, index: number): number => text.slice(0, index).split('\n').length

/** `path:line` of a place in a file, as editors and terminals understand it. */
export const at = (file: TextFile, index: number): string => `${file.path}:${lineOf(file.text, index)}`
