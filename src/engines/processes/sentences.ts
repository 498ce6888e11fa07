/** A text of another's, for the middle of a sentence. */
export const withoutStop = (text: string): string => text.replace(/[.\s]+$/, '')
