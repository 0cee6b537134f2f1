// Where things are, and what the view shows of them. Points in, points out; nothing here touches the page.

export interface Camera {
  x: number // of the picture's origin, in pixels
  y: number
  scale: number
}

export interface Size {
  width: number
  height: number
}

export interface Placed {
  id: string
  x: number
  y: number
}

export const CLOSEST = 3
export const FARTHEST = 0.04
const MARGIN = 14
const LEGIBLE = 0.62 // the scale at which words can just be read

export function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value))
}

/** All of the picture, in the middle, no larger than life. */
export function whole(picture: Size, view: Size): Camera {
  const scale = clamp(
    Math.min((view.width - 2 * MARGIN) / picture.width, (view.height - 2 * MARGIN) / picture.height),
    FARTHEST,
    1,
  )
  return centred(picture, view, scale)
}

/** All of it where it can be read so, else its beginning. */
export function opening(picture: Size, view: Size): Camera {
  const all = whole(picture, view)
  if (all.scale >= LEGIBLE) return all
  const scale = LEGIBLE + 0.1
  const camera = centred(picture, view, scale)
  if (picture.width * scale > view.width) camera.x = MARGIN
  if (picture.height * scale > view.height) camera.y = MARGIN
  return camera
}

function centred(picture: Size, view: Size, scale: number): Camera {
  return { scale, x: (view.width - picture.width * scale) / 2, y: (view.height - picture.height * scale) / 2 }
}

/** Closer or farther, with the point under (x, y) staying where it is. */
export function zoom(camera: Camera, factor: number, x: number, y: number): Camera {
  const scale = clamp(camera.scale * factor, FARTHEST, CLOSEST)
  const by = scale / camera.scale
  return { scale, x: x - (x - camera.x) * by, y: y - (y - camera.y) * by }
}

/** Moved as little as brings the point into view, with room around it. */
export function reveal(camera: Camera, at: { x: number; y: number }, view: Size, room = 90): Camera {
  const x = camera.x + at.x * camera.scale
  const y = camera.y + at.y * camera.scale
  const edge = (length: number) => Math.min(room, length / 2)
  return {
    scale: camera.scale,
    x: camera.x + clamp(x, edge(view.width), view.width - edge(view.width)) - x,
    y: camera.y + clamp(y, edge(view.height), view.height - edge(view.height)) - y,
  }
}

/** The nearest box in the direction of an arrow key; straight ahead counts more than aside. */
export function towards(from: Placed, boxes: readonly Placed[], key: string): Placed | undefined {
  const across = key === 'ArrowLeft' || key === 'ArrowRight'
  const sign = key === 'ArrowRight' || key === 'ArrowDown' ? 1 : -1
  let best: Placed | undefined
  let least = Number.POSITIVE_INFINITY
  for (const box of boxes) {
    const ahead = sign * (across ? box.x - from.x : box.y - from.y)
    const aside = Math.abs(across ? box.y - from.y : box.x - from.x)
    const far = ahead + 2.5 * aside
    if (box.id !== from.id && ahead > 4 && far < least) {
      best = box
      least = far
    }
  }
  return best
}
