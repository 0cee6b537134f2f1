// Geometry of the graph: the camera, visible boxes, and nearest lines. Python lays the graph out (nbdag/graphs).
// Pure functions; nothing here touches the page.

export interface Camera {
  x: number // x position of the picture's origin, in pixels of the page
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

export const MAX_SCALE = 3
export const MIN_SCALE = 0.04
const MARGIN = 14
/** The font size of a name in the picture. On the page it has less than 11 pixels at scales below LEGIBLE. */
export const NAME_SIZE = 13
export const LEGIBLE = 0.85
const MIN_PIXELS = 11 // smallest font size on the page
// Scales below LEGIBLE at which boxes have larger names, cut to the width of the box, and no notes.
const NAME_SCALES = [0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5]
const WHOLE = 0.7 // smallest scale at which a view opens with the whole picture; names still have most characters
const PHONE = 480 // a narrower view opens with the whole graph if boxes then have names, because panning is tedious
/** With more boxes than this, a view opens with the whole graph even without names, to show shape and states. */
export const MANY = 40
const SHAPE = 0.12 // smallest scale of such a view; a box has about 13 by 5 pixels there

/** Return the font size of names in the picture at a scale, or 0 if boxes are too small for a name there. */
export function nameSize(scale: number): number {
  if (scale >= LEGIBLE) return NAME_SIZE
  const step = NAME_SCALES.find((each) => scale >= each)
  return step === undefined ? 0 : MIN_PIXELS / step
}

/** Return the font size of notes and of the labels of lines in the picture. */
export function noteSize(scale: number): number {
  return MIN_PIXELS / clamp(scale, LEGIBLE, 1)
}

export function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value))
}

/** Return a camera that shows the whole picture, centred, at a scale of at most 1. */
export function fitCamera(picture: Size, view: Size): Camera {
  const scale = clamp(
    Math.min((view.width - 2 * MARGIN) / picture.width, (view.height - 2 * MARGIN) / picture.height),
    MIN_SCALE,
    1,
  )
  return centred(picture, view, scale)
}

/** Return the smallest scale at which a view of this width opens with a whole picture of few boxes. */
function smallest(view: Size): number {
  return view.width < PHONE ? Math.min(...NAME_SCALES) : WHOLE
}

/** Return whether a view opens with the whole picture, for which `scale` is needed. */
function isWhole({ scale }: Camera, view: Size, boxes: number): boolean {
  return scale >= (boxes > MANY ? SHAPE : smallest(view))
}

/** Return the scale for a picture that does not fit. It fits in one direction if the scale is then large enough. */
function partScale(picture: Size, view: Size): number {
  const along = Math.max((view.width - 2 * MARGIN) / picture.width, (view.height - 2 * MARGIN) / picture.height)
  return along < smallest(view) ? LEGIBLE : Math.min(along, LEGIBLE)
}

/**
 * Return the initial camera: the whole picture if `isWhole`, else the part around
 * `first`.
 */
export function opening(picture: Size, view: Size, first?: { x: number; y: number }, boxes = 0): Camera {
  const all = fitCamera(picture, view)
  if (isWhole(all, view, boxes)) return all
  const scale = partScale(picture, view)
  const camera = centred(picture, view, scale)
  if (picture.width * scale > view.width) camera.x = MARGIN
  if (picture.height * scale > view.height) camera.y = MARGIN
  return first ? bounded(reveal(camera, first, view), picture, view) : camera
}

/**
 * Return the camera for a view with another size: the whole picture as in `opening`, else the same part as before,
 * moved so that `selected` is in view.
 */
export function resized(
  camera: Camera,
  picture: Size,
  view: Size,
  selected?: { x: number; y: number },
  boxes = 0,
): Camera {
  const all = fitCamera(picture, view)
  if (isWhole(all, view, boxes)) return all
  const kept = { ...camera, scale: Math.max(camera.scale, partScale(picture, view)) }
  return bounded(selected ? reveal(kept, selected, view) : kept, picture, view)
}

/** Return a camera that centres a picture smaller than the view, and shows no space beside a larger one. */
function bounded({ x, y, scale }: Camera, picture: Size, view: Size): Camera {
  const along = (at: number, length: number, space: number) =>
    length > space - 2 * MARGIN ? clamp(at, space - MARGIN - length, MARGIN) : (space - length) / 2
  return {
    scale,
    x: along(x, picture.width * scale, view.width),
    y: along(y, picture.height * scale, view.height),
  }
}

function centred(picture: Size, view: Size, scale: number): Camera {
  return { scale, x: (view.width - picture.width * scale) / 2, y: (view.height - picture.height * scale) / 2 }
}

/** Scale by `factor`; the point of the picture at (x, y) stays at (x, y). */
export function zoom(camera: Camera, factor: number, x: number, y: number): Camera {
  const scale = clamp(camera.scale * factor, MIN_SCALE, MAX_SCALE)
  const ratio = scale / camera.scale
  return { scale, x: x - (x - camera.x) * ratio, y: y - (y - camera.y) * ratio }
}

/** Move the camera as little as needed to bring the point into view, `margin` pixels from the edge. */
export function reveal(camera: Camera, at: { x: number; y: number }, view: Size, margin = 90): Camera {
  const x = camera.x + at.x * camera.scale
  const y = camera.y + at.y * camera.scale
  const edge = (length: number) => Math.min(margin, length / 2)
  return {
    scale: camera.scale,
    x: camera.x + clamp(x, edge(view.width), view.width - edge(view.width)) - x,
    y: camera.y + clamp(y, edge(view.height), view.height - edge(view.height)) - y,
  }
}

/** Return the boxes in view, and those within half a view around it. */
export function visible<Box extends Placed & Size>(boxes: readonly Box[], camera: Camera, view: Size): Box[] {
  const [left, top] = [(-camera.x - view.width / 2) / camera.scale, (-camera.y - view.height / 2) / camera.scale]
  const [right, bottom] = [left + (2 * view.width) / camera.scale, top + (2 * view.height) / camera.scale]
  return boxes.filter(
    ({ x, y, width, height }) =>
      x + width / 2 > left && x - width / 2 < right && y + height / 2 > top && y - height / 2 < bottom,
  )
}

/** A line as a list of points along the line, with the bounding rectangle of the points. */
export interface Curve {
  points: readonly (readonly [number, number])[]
  left: number
  top: number
  right: number
  bottom: number
}

const STEPS = 10 // number of points into which a Bézier curve is divided

/** Return the points along an SVG path of the form `M x,y C x,y x,y x,y …`. */
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

/** Return the line nearest to a point, or undefined if no line is within `reach`. */
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
      const distance = segmentDistance(x, y, points[n - 1] ?? [0, 0], points[n] ?? [0, 0])
      if (distance < least) {
        least = distance
        best = each
      }
    }
  }
  return best
}

/** Return the distance from a point to a line segment. */
function segmentDistance(
  x: number,
  y: number,
  [ax, ay]: readonly [number, number],
  [bx, by]: readonly [number, number],
): number {
  const [dx, dy] = [bx - ax, by - ay]
  const along = clamp(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1), 0, 1)
  return Math.hypot(x - ax - along * dx, y - ay - along * dy)
}

/** The direction of an arrow key. */
export interface Heading {
  across: boolean // horizontally
  sign: 1 | -1
}

/** Return the nearest box in a direction. Distance at right angles to the direction counts 2.5 times as much. */
export function neighbourIn(from: Placed, boxes: readonly Placed[], { across, sign }: Heading): Placed | undefined {
  let best: Placed | undefined
  let least = Number.POSITIVE_INFINITY
  for (const box of boxes) {
    const ahead = sign * (across ? box.x - from.x : box.y - from.y)
    const sideways = Math.abs(across ? box.y - from.y : box.x - from.x)
    const distance = ahead + 2.5 * sideways
    if (box.id !== from.id && ahead > 4 && distance < least) {
      best = box
      least = distance
    }
  }
  return best
}
