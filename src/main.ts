/** The `gantry` command: parses, then loads only what the command needs. */
import { runCommandLine } from './cli/program.ts'

await runCommandLine(process.argv)
