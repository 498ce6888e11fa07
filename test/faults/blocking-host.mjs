// A broker process whose event loop stands still for so many milliseconds at SIGUSR2, as in an endless loop; started by busy.test.ts.
process.on('SIGUSR2', () => {
  const endMs = performance.now() + Number(process.env.TEST_BLOCK_MS)
  while (performance.now() < endMs);
})
await import('../../dist/broker-host.mjs')
