/**
 * The disk as the segment log sees it: asynchronous, positional, with explicit durability.
 *
 * What is written is visible at once to readers of the same disk, and survives a power cut only
 * after `datasync` of the file *and*, for a file that was created, renamed or unlinked,
 * `syncDirectory` of its folder. `real-disk.ts` keeps this on node:fs; `simulated-disk.ts` keeps it
 * in memory, with power cuts and faults (ENOSPC, EIO) chosen by a seed.
 */
export interface DiskFile {
  /** Writes all of `chunks` back to back at `position`; rejects if fewer bytes were written. */
  write(chunks: readonly Uint8Array[], position: number): Promise<void>
  /** Fills `target` from `position`; answers how many bytes there were (fewer only at the end of the file). */
  read(target: Uint8Array, position: number): Promise<number>
  datasync(): Promise<void>
  truncate(sizeBytes: number): Promise<void>
  size(): Promise<number>
  close(): Promise<void>
}

/** Bytes of the file system that a folder lies in. */
export interface DiskSpace {
  readonly totalBytes: number
  /** What this user may still write. */
  readonly freeBytes: number
}

export interface Disk {
  /** `create` fails with EEXIST when the file is there; `read` and `write` with ENOENT when it is not. */
  open(path: string, mode: 'read' | 'write' | 'create'): Promise<DiskFile>
  /** Names in the folder, sorted; an absent folder has none. */
  list(directory: string): Promise<string[]>
  /** Creates the folder and its parents; fine when it is there. */
  makeDirectory(directory: string): Promise<void>
  /** Fine when the file is absent. */
  unlink(path: string): Promise<void>
  /** Removes a folder with all that is in it; fine when it is absent. */
  removeDirectory(directory: string): Promise<void>
  /** Replaces `to` atomically. */
  rename(from: string, to: string): Promise<void>
  syncDirectory(directory: string): Promise<void>
  /** Null where the system does not tell. */
  space(directory: string): Promise<DiskSpace | null>
}
