// The width of text in the font of the graph. Computers have different fonts.

/** The font of the graph. The layout assumes the widths of Helvetica, which Arial and Liberation Sans share. */
export const FONT = 'Helvetica, Arial, "Liberation Sans", sans-serif'
const SIZE = 100 // font size of the measurement
const MEAN = 0.58 // mean width of a character relative to the font size; used if the page cannot measure text

let context: CanvasRenderingContext2D | null | undefined
const widths = new Map<string, number>()

/** Return the width of the text relative to the font size. */
export function textWidth(text: string): number {
  const known = widths.get(text)
  if (known !== undefined) return known
  context ??= document.createElement('canvas').getContext('2d')
  if (context) context.font = `500 ${SIZE}px ${FONT}`
  const width = context ? context.measureText(text).width / SIZE : MEAN * text.length
  if (widths.size > 5000) widths.clear()
  widths.set(text, width)
  return width
}
