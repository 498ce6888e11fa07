/** Protobuf's variable-length whole numbers, for fields that are written without the encoder. */
export function varintLength(value: number): number {
  let length = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 128)) length++
  return length
}

/** Answers where the next byte goes. */
export function writeVarint(out: Buffer, at: number, value: number): number {
  let rest = value
  let position = at
  while (rest >= 0x80) {
    out[position++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  out[position++] = rest
  return position
}
