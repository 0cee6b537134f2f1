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

/** All of it where it can be read so, else its beginning: what is around `first`. */
export function opening(picture: Size, view: Size, first?: { x: number; y: number }): Camera {
  const all = whole(picture, view)
  if (all.scale >= LEGIBLE) return all
  const scale = LEGIBLE + 0.1
  const camera = centred(picture, view, scale)
  if (picture.width * scale > view.width) camera.x = MARGIN
  if (picture.height * scale > view.height) camera.y = MARGIN
  if (!first) return camera
  const to = reveal(camera, first, view)
  // Nothing but the picture is shown, where that fills the view.
  const held = (at: number, length: number, room: number) =>
    length > room - 2 * MARGIN ? clamp(at, room - MARGIN - length, MARGIN) : at
  to.x = held(to.x, picture.width * scale, view.width)
  to.y = held(to.y, picture.height * scale, view.height)
  return to
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

/** The boxes that the view shows, and those within half a view around it. */
export function within<Box extends Placed & Size>(boxes: readonly Box[], camera: Camera, view: Size): Box[] {
  const [left, top] = [(-camera.x - view.width / 2) / camera.scale, (-camera.y - view.height / 2) / camera.scale]
  const [right, bottom] = [left + (2 * view.width) / camera.scale, top + (2 * view.height) / camera.scale]
  return boxes.filter(
    ({ x, y, width, height }) =>
      x + width / 2 > left && x - width / 2 < right && y + height / 2 > top && y - height / 2 < bottom,
  )
}

/** A line as points along it, and the rectangle that holds them. */
export interface Curve {
  points: readonly (readonly [number, number])[]
  left: number
  top: number
  right: number
  bottom: number
}

const STEPS = 10 // points along each Bézier curve

/** The points of a path `M x,y C x,y x,y x,y …`. */
export function curve(path: string): Curve {
  const numbers = path.match(/-?[\d.]+/g)?.map(Number) ?? []
  const given = Array.from({ length: Math.floor(numbers.length / 2) }, (_, n): [number, number] => [
    numbers[2 * n] ?? 0,
    numbers[2 * n + 1] ?? 0,
  ])
  const points = given.slice(0, 1)
  for (let n = 0; n + 3 < given.length; n += 3) {
    const [a, b, c, d] = given.slice(n, n + 4) as [number, number][] as Four
    for (let step = 1; step <= STEPS; step += 1) {
      const t = step / STEPS
      const u = 1 - t
      const at = (axis: 0 | 1) =>
        u * u * u * a[axis] + 3 * u * u * t * b[axis] + 3 * u * t * t * c[axis] + t * t * t * d[axis]
      points.push([at(0), at(1)])
    }
  }
  const xs = points.map(([x]) => x)
  const ys = points.map(([, y]) => y)
  return { points, left: Math.min(...xs), top: Math.min(...ys), right: Math.max(...xs), bottom: Math.max(...ys) }
}

type Four = [[number, number], [number, number], [number, number], [number, number]]

/** The line that is nearest to a point, unless all are farther away than `reach`. */
export function nearest<Found extends { curve: Curve }>(
  all: readonly Found[],
  x: number,
  y: number,
  reach: number,
): Found | undefined {
  let least = reach
  let best: Found | undefined
  for (const each of all) {
    const { left, top, right, bottom, points } = each.curve
    if (x < left - least || x > right + least || y < top - least || y > bottom + least) continue
    for (let n = 1; n < points.length; n += 1) {
      const far = apart(x, y, points[n - 1] ?? [0, 0], points[n] ?? [0, 0])
      if (far < least) {
        least = far
        best = each
      }
    }
  }
  return best
}

/** How far a point is from a straight piece. */
function apart(x: number, y: number, [ax, ay]: readonly [number, number], [bx, by]: readonly [number, number]): number {
  const [dx, dy] = [bx - ax, by - ay]
  const along = clamp(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1), 0, 1)
  return Math.hypot(x - ax - along * dx, y - ay - along * dy)
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
