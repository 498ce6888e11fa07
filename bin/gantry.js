#!/usr/bin/env node
// Starts the built command. Also read by older versions of Node, to whom it says that they are too old.
const [major, minor] = process.versions.node.split('.').map(Number)
const built = new URL('../dist/gantry.mjs', import.meta.url)

function refuse(sentence) {
  process.stderr.write(`gantry: ${sentence}\n`)
  process.exitCode = 2
}

if (major < 20 || (major === 20 && minor < 15)) {
  refuse(`Node ${process.versions.node} is too old; Gantry needs Node 20.15 or newer.`)
} else {
  try {
    await import(built.href)
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND' || error.url !== built.href) throw error
    refuse('It is not built yet: "npm ci && npm run build" in the folder of the repository builds it.')
  }
}
